"""Whatever a task does to its process, a check tells it, with the line, and leaves nothing running."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.newcomer_mistakes.in_task import MISTAKES
from benchmarks.newcomer_mistakes.mistake import SETTINGS, TASK, Mistake, finding_of, more, task, write
from cli.checking.checks import Checked, CheckFailedError, check_loaded_by, check_policies, check_project
from cli.checking.clients import clients_of
from cli.checking.trial_here import TrialHere
from cli.project import load
from tests.paths import ROOT

LIMIT_S = 4.0
NOISY = Mistake(
    "prints, and is warned of",
    more('print("\\x1b[2Jfirst")\nfor _ in range(2000):\n    print("x" * 100)\nprint("last")\n'),
    (),
)


def checked(mistake: Mistake, folder: Path, limit_s: float | None = None) -> Checked:
    project, data = write(mistake, folder)
    return check_project(project, lambda read, scratch: clients_of(read, data, scratch), limit_s=limit_s)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """What the command ends with, and finds."""
    project, data = write(NOISY, tmp_path_factory.mktemp("noisy") / "folder")
    return result_of(command(project, "--data", data, "--json"))


def test_a_crash_is_told_with_its_line(tmp_path: Path) -> None:
    crash = next(one for one in MISTAKES if one.name == "a crash")
    assert finding_of(crash, checked(crash, tmp_path / "folder").findings)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("child.wait()", "the import of task.py had not ended after 4 s"),
        ("os._exit(3)", "the import of task.py: the process was ended, with status 3"),
    ],
)
def test_nothing_that_a_task_has_started_is_left(tmp_path: Path, end: str, told: str) -> None:
    source = (
        "import os, pathlib, subprocess\n"
        'child = subprocess.Popen(["sleep", "100000"], start_new_session=True)\n'
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        f"{end}\n"
    )
    found = checked(Mistake("starts a process", more(source), ()), tmp_path / "folder", LIMIT_S)
    assert [(finding.text, finding.code) for finding in found.errors] == [(told, end)]
    with contextlib.suppress(psutil.NoSuchProcess):  # it has been killed: its parent may have to see to it still
        psutil.Process(int((tmp_path / "pid").read_text())).wait(60)


def test_what_a_task_prints_is_kept_bounded_and_apart(noisy: tuple[int, dict[str, Any]]) -> None:
    printed = noisy[1]["printed"]
    assert len(printed) < 10_000
    assert printed.startswith("\x1b[2Jfirst")
    assert printed.endswith("last")
    assert "bytes ..." in printed


def test_there_are_figures_of_all_that_was_seen(noisy: tuple[int, dict[str, Any]]) -> None:
    told = noisy[1]
    facts = told["facts"]
    assert told["not_checked"] == []
    assert (facts["parameters"], facts["clients_loaded"], facts["examples"]) == (811, 2, 40)
    assert facts["before"].keys() == {"loss", "accuracy"}
    assert facts["after"].keys() == {"loss", "accuracy", "train_loss"}
    assert told["round_time"]["steps"] == 6
    assert told["model_bytes"] > 811 * 4
    assert [each["name"] for each in told["packed"]] == ["task.py"]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "check", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(Path(str(arguments[0])).parent)},
    )


def result_of(process: "subprocess.Popen[bytes]") -> tuple[int, dict[str, Any]]:
    out, _ = process.communicate()
    return process.returncode, json.loads(out)["result"]


def test_the_command_is_done_if_it_finds_warnings_alone(noisy: tuple[int, dict[str, Any]]) -> None:
    status, told = noisy
    assert status == 0
    assert [finding["severity"] for finding in told["findings"]] == ["warning", "warning"]


def test_it_fails_with_all_errors_and_their_lines(tmp_path: Path) -> None:
    source = TASK.replace("return Net()", "return Net").replace('directory / "labels.npy"', '"labels.npy"')
    project, data = write(Mistake("", {"task.py": source}, ()), tmp_path / "folder")
    status, told = result_of(command(project, "--data", data, "--json"))
    assert status == 2
    assert [finding["code"] for finding in told["findings"]] == [
        "return Net",
        'labels = torch.from_numpy(np.load("labels.npy"))',
    ]


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    project, data = write(Mistake("", more("while True:\n    pass\n"), ()), tmp_path / "folder")
    process = command(project, "--data", data)
    assert process.stderr is not None
    for line in process.stderr:
        if b"had not ended" in line:
            break
    started = psutil.Process(process.pid).children(recursive=True)
    assert started
    process.send_signal(signal.SIGINT)
    process.communicate()
    psutil.wait_procs(started, timeout=30)
    assert not any(is_running(one.pid) for one in started)
    assert not list((tmp_path / "folder").glob("fedgrass-check-*"))


def test_a_check_before_something_else_raises_what_it_finds(here: TrialHere, tmp_path: Path) -> None:
    project, data = write(Mistake("", task("return Net()", "return Net"), ()), tmp_path / "folder")
    with pytest.raises(CheckFailedError, match=r"task.py:\d+: error: build_model.*\n    return Net\n  return"):
        check_loaded_by(here, load(project), lambda scratch: clients_of(None, data, scratch))


def test_policies_are_tried_out_alone_without_a_task(tmp_path: Path) -> None:
    policies = "def is_complete(round):\n    while round.nothing:\n        pass\n"
    files: dict[str, str | bytes | None] = {
        "federation.yaml": f"{SETTINGS}completion: custom\n",
        "policies.py": policies,
    }
    project, _ = write(Mistake("", files, ()), tmp_path / "folder")
    with pytest.raises(CheckFailedError, match="no attribute 'nothing'"):
        check_policies(load(project))
