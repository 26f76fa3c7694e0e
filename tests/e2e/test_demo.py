"""`fedgrass demo` as a user runs it: what it prints, and what it leaves behind, however it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 120.0


class Demo:
    """A running `fedgrass demo`, with a temporary directory of its own."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", "demo", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, error = process.communicate(timeout=LIMIT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def left_behind(self) -> list[str]:
        """Files in the temporary directory, and processes that were started with something in it."""
        marks = []
        for process in psutil.process_iter():
            try:
                seen = [*process.cmdline(), *process.environ().values()]
            except psutil.Error:
                continue
            if process.pid != os.getpid() and any(str(self.temporary) in text for text in seen):
                marks.append(f"process {process.pid} {' '.join(process.cmdline())}")
        return marks + [str(path) for path in self.temporary.iterdir()]

    def wait_until_nothing_is_left(self) -> list[str]:
        deadline = time.monotonic() + 20
        while (left := self.left_behind()) and time.monotonic() < deadline:
            os.sched_yield()
        return left


@pytest.fixture
def demo() -> Iterator[Demo]:
    # Short: the path of a Unix socket in it must be under 108 bytes.
    temporary = Path(tempfile.mkdtemp(prefix="fg-"))
    yield Demo(temporary)
    shutil.rmtree(temporary)


def test_two_devices_learn_to_read_digits_and_the_last_line_is_json(demo: Demo) -> None:
    ran = demo.run("--devices", "2", "--rounds", "3", "--json")
    assert ran.returncode == 0, ran.stderr
    outcome = json.loads(ran.stdout.splitlines()[-1])
    assert outcome["accuracy"] > 0.7
    assert outcome["rounds"] == 3
    assert 0 < outcome["overhead_s"] <= outcome["round_s"]
    assert 5 < outcome["idle_agent_mb"] < 70
    assert [figures["accepted"] for figures in outcome["history"]] == [2, 2, 2]
    assert demo.left_behind() == []


@pytest.mark.parametrize("moment", ["starting the embedded AWS", "registering", "waiting for", "round   1 closed"])
def test_ctrl_c_at_any_moment_says_so_and_leaves_nothing_behind(demo: Demo, moment: str) -> None:
    process = demo.start("--devices", "2", "--rounds", "1000", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(moment):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert demo.left_behind() == []


def test_a_killed_demo_leaves_nothing_behind(demo: Demo) -> None:
    process = demo.start("--devices", "2", "--rounds", "1000", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("round   1"):
            break
    process.kill()
    process.communicate(timeout=LIMIT_S)
    assert demo.wait_until_nothing_is_left() == []


def test_a_taken_port_is_named(demo: Demo, taken_port: int) -> None:
    ran = demo.run("--port", str(taken_port))
    assert ran.returncode == 1
    assert f"port {taken_port}" in ran.stderr + ran.stdout
    assert "Traceback" not in ran.stderr
    assert demo.left_behind() == []


def test_a_missing_data_directory_is_named(demo: Demo) -> None:
    ran = demo.run("--data", str(demo.temporary / "nowhere"))
    assert ran.returncode == 1
    assert str(demo.temporary / "nowhere") in ran.stderr.replace("\n", "")
    assert "Traceback" not in ran.stderr


def test_a_task_that_does_not_import_is_named_with_its_line(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("import torch\nimport a_module_that_nobody_has\n")
    (tmp_path / "federation.yaml").write_text(
        "name: broken\ntraining: {epochs: 1, batch_size: 8, learning_rate: 0.1}\n"
    )
    ran = demo.run(str(tmp_path), "--devices", "2")
    assert ran.returncode == 1
    told = ran.stderr.replace("\n", " ")
    assert "task.py" in told
    assert "a_module_that_nobody_has" in told
    assert "line 2" in told
    assert "Traceback" not in ran.stderr
    assert demo.left_behind() == []


def test_a_wrong_setting_is_named(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("")
    (tmp_path / "federation.yaml").write_text(
        "name: wrong\ntraining: {epochs: 1, batch_size: 0, learning_rate: 0.1}\n"
    )
    ran = demo.run(str(tmp_path))
    assert ran.returncode == 1
    assert "batch_size" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_make_says_which_python_it_needs() -> None:
    ran = subprocess.run(
        ["make", "setup", "PYTHON=/bin/false"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "fedgrass needs Python 3.11" in ran.stderr
