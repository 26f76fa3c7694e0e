"""What the end-to-end tests share."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.paths import ROOT

LIMIT_S = 240.0


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which this process listens, so that nobody else can."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


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

    def run(self, *arguments: str, limit_s: float = LIMIT_S) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, error = process.communicate(timeout=limit_s)
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
        deadline = time.monotonic() + 120
        while (left := self.left_behind()) and time.monotonic() < deadline:
            os.sched_yield()
        return left


@pytest.fixture
def demo() -> Iterator[Demo]:
    # Short: the path of a Unix socket in it must be under 108 bytes.
    temporary = Path(tempfile.mkdtemp(prefix="fg-"))
    yield Demo(temporary)
    shutil.rmtree(temporary)
