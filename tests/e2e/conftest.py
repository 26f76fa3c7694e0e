"""What the end-to-end tests share."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from sandbox.polling import eventually
from tests.e2e import slopes_data
from tests.e2e.shells import LIMIT_S

PROGRAM = (sys.executable, "-m", "cli.main")
INSTALLED = (str(Path(sys.executable).with_name("fedgrass")),)
"""As users have it; none of its processes is forked, as `tests/forking` has others."""


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which this process listens, so that nobody else can."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Machine:
    """A user's machine: fedgrass commands have a temporary directory of their own on it, a state directory, and are
    given in `home`."""

    def __init__(self, temporary: Path, state: Path, home: Path) -> None:
        self.temporary = temporary
        self.state = state
        self.home = home

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"TMPDIR": str(self.temporary), "XDG_STATE_HOME": str(self.state)}

    def start(self, *words: str, program: Sequence[str] = PROGRAM) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*program, *words],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *words: str, program: Sequence[str] = PROGRAM, limit_s: float = LIMIT_S
    ) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words, program=program)
        out, error = process.communicate(timeout=limit_s)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def left_behind(self) -> list[str]:
        """Files in the temporary directory, and processes that were started with something in it or by a command."""
        marks = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
                seen = [*command, *process.environ().values(), process.cwd()]
            except psutil.Error:
                continue
            places = (str(self.temporary), str(self.home))
            if process.pid != os.getpid() and any(place in text for text in seen for place in places):
                marks.append(f"process {process.pid} {' '.join(command)}")
        return marks + [str(path) for path in self.temporary.iterdir()]

    def wait_until_nothing_is_left(self) -> None:
        eventually(lambda: not self.left_behind(), "a command to have cleaned up")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    # Short: the path of a Unix socket in it must be under 108 bytes.
    temporary = Path(tempfile.mkdtemp(prefix="fg-"))
    (home := tmp_path / "home").mkdir()
    yield Machine(temporary, tmp_path / "state", home)
    shutil.rmtree(temporary)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A federation that goes on for longer than any test, with the data of three clients."""
    folder = tmp_path / "slopes"
    shutil.copytree(Path(__file__).parent / "slopes", folder)
    slopes_data.write(folder / "data", ["north", "south", "west"])
    return folder
