"""Whatever ends a sandbox, nothing of it is left."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox.scratch import Scratch
from tests.paths import ROOT

LIMIT_S = 120.0


@contextmanager
def parent(stages: int, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """A process with a sandbox that has come this far, and what it told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sandbox.sandbox_parent", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process:
        told: dict[str, Any] = {}
        try:
            for _ in range(stages):
                told |= json.loads(process.stdout.readline())
            yield process, told
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_a_running_sandbox(ending: signal.Signals) -> None:
    with parent(stages=3) as (process, told):
        everything = [psutil.Process(pid) for pid in (*told["processes"], *told["forked"])]
        assert len(everything) >= 7  # the janitor, ministack, its worker, two components, two that they forked
        process.send_signal(ending)
        process.wait(LIMIT_S)
        check_gone(everything, told["scratch"])


@pytest.mark.parametrize(("stages", "ending"), [(1, signal.SIGINT), (1, signal.SIGKILL), (2, signal.SIGTERM)])
def test_nothing_is_left_of_a_sandbox_that_was_starting(stages: int, ending: signal.Signals) -> None:
    with parent(stages) as (process, told):
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(ending)
        process.wait(LIMIT_S)
        check_gone(started, told["scratch"])


def test_an_embedded_aws_ends_with_its_process(tmp_path: Path) -> None:
    with parent(1, str(tmp_path)) as (process, told):
        everything = [psutil.Process(pid) for pid in told["processes"]]
        assert len(everything) == 2  # ministack and its worker
        process.kill()
        _, alive = psutil.wait_procs(everything, timeout=LIMIT_S)
        assert not alive
        assert not (tmp_path / "tmp").exists()


def check_gone(processes: list[psutil.Process], scratch: str) -> None:
    """The janitor is one of the processes: when it has ended, the directory is gone."""
    _, alive = psutil.wait_procs(processes, timeout=LIMIT_S)
    assert not alive
    assert not Path(scratch).exists()
    assert not [process for process in psutil.process_iter() if belongs_to(process, scratch)]


def belongs_to(process: psutil.Process, scratch: str) -> bool:
    try:
        return any(value.startswith(scratch) for value in process.environ().values())
    except psutil.Error:
        return False


def test_a_scratch_directory_takes_along_what_was_started_in_it() -> None:
    with Scratch() as scratch:
        mine = subprocess.Popen(["/bin/sleep", "600"], env={"TMPDIR": f"{scratch.path}/x"})
        anothers = subprocess.Popen(["/bin/sleep", "600"], env={"TMPDIR": f"{scratch.path}-of-another/x"})
    assert mine.wait(LIMIT_S) == -signal.SIGKILL
    assert anothers.poll() is None
    anothers.kill()
    anothers.wait()
    assert not scratch.path.exists()
