"""The backends that give the same bits: one process, or several."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from protocol.messages import Timings
from sandbox.polling import eventually
from simulation.choosing import worth_processes
from simulation.processes import ProcessesBackend, WorkersError
from tests.paths import ROOT
from tests.simulation.federations import Federation, digests

TIMINGS = Timings(accepted_at=0.0, downloaded_at=0.0, trained_at=0.0, uploading_at=0.0, train_s=0.0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_processes_gives_the_bits_of_one_loop(tmp_path: Path, workers: int) -> None:
    does = {"c1": "fails", "c2": "raises"}
    settings: dict[str, Any] = {
        "encoding": "int8",
        "target": 3,
        "quorum": 1,
        "averaging": {"ema": 0.5},
        "evaluation": {"every_rounds": 3},
    }
    federation = Federation(tmp_path / "a", does=does, **settings)
    expected = digests(federation.rounds())
    again = Federation(tmp_path / "b", does=does, **settings)
    backend = ProcessesBackend(again.setup, workers)
    try:
        rounds = again.rounds(backend)
    finally:
        backend.close()
    assert [one.replace(b"/b/", b"/a/") for one in digests(rounds)] == expected


def test_a_task_that_ends_its_process_fails_for_its_client_alone(tmp_path: Path) -> None:
    federation = Federation(tmp_path, does={"c0": "ends", "c3": "crashes"}, quorum=1, rounds=1)
    backend = ProcessesBackend(federation.setup, 2)
    try:
        rounds = federation.rounds(backend)
    finally:
        backend.close()
    for ended in rounds:
        reasons = {one.thing: (one.state, one.reason) for one in ended.responses.failed}
        assert [one.thing for one in ended.responses.accepted] == ["c1", "c2", "c4"]
        assert reasons["c0"][0] == reasons["c3"][0] == "failed"
        assert "status 7" in (reasons["c0"][1] or "")
        assert "SIGSEGV" in (reasons["c3"][1] or "")


def test_a_client_has_its_data_loaded_by_one_process_as_long_as_that_is_free(tmp_path: Path) -> None:
    federation = Federation(tmp_path)
    task = tmp_path / "task.py"
    task.write_text("print('what a task prints is no answer' * 1000)\n" + task.read_text())
    backend = ProcessesBackend(federation.setup, 2)
    try:
        counts = backend.examples(federation.things)
        loaded = [set(worker.loaded) for worker in backend.workers]
    finally:
        backend.close()
    assert counts == {thing: 20 + 3 * number for number, thing in enumerate(federation.things)}
    assert set.union(*loaded) == set(federation.things)
    assert sum(map(len, loaded)) == len(federation.things)


def test_a_task_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    federation = Federation(tmp_path)
    (tmp_path / "task.py").write_text("import torch\nraise KeyError('wheels')\n")
    with pytest.raises(WorkersError, match=r"task\.py cannot be imported: KeyError: 'wheels'"):
        ProcessesBackend(federation.setup, 1)


PARENT = """
import sys, msgspec
from simulation.local_clients import Setup
from simulation.processes import ProcessesBackend
backend = ProcessesBackend(msgspec.json.decode(sys.argv[1], type=Setup), 1)
print(backend.workers[0].pid, flush=True)
sys.stdin.read()
"""


def test_processes_die_with_their_simulation_however_it_dies(tmp_path: Path) -> None:
    setup = msgspec.json.encode(Federation(tmp_path).setup).decode()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, setup], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker to end")


def test_processes_are_worth_it_if_they_save_more_than_they_take_to_start() -> None:
    cores = len(os.sched_getaffinity(0))
    assert worth_processes(0.001, 1000, 100) == 1
    assert worth_processes(1.0, 10_000, 1) == 1
    assert worth_processes(float("inf"), 10_000, 100) == 1
    assert worth_processes(1.0, 10_000, 100) == cores
