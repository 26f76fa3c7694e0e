"""Where a sandbox that stays up is known by its name: a folder in the user's state directory.

The process that has the sandbox holds a lock on a file there, which the kernel gives back however the process ends, and
tells others whose it is. So a state that was left behind is never taken for a sandbox, nor another process for the one
that had it.
"""

import contextlib
import fcntl
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

_FLOCK = "hhqqi"
"""struct flock of fcntl(2): type, whence, start, length, process id."""


Condition: TypeAlias = Literal["up", "starting", "down", "killed"]


class SandboxUpError(Exception):
    """There is a sandbox of this name already."""


class SandboxState(msgspec.Struct, frozen=True, kw_only=True):
    """A sandbox that is up. `environment` makes other commands find it; `scratch` is its directory, `project` the
    folder whose federation and devices are in it, `keep` the folder in which things will be kept at its end."""

    name: str
    pid: int
    since: float
    environment: dict[str, str]
    scratch: str
    project: str | None = None
    federation: str | None = None
    devices: int = 0
    keep: str | None = None


class Place:
    """What is known of the sandbox of a name."""

    def __init__(self, name: str) -> None:
        self.name = name
        given = Path(os.environ.get("XDG_STATE_HOME", ""))
        home = given if given.is_absolute() else Path.home() / ".local" / "state"  # as the XDG specification has it
        self.directory = home / "fedgrass" / "sandboxes" / name

    @property
    def log(self) -> Path:
        """What the process that has the sandbox says."""
        return self.directory / "log"

    @property
    def result(self) -> Path:
        """What it says at its end, as JSON."""
        return self.directory / "result.json"

    def condition(self) -> Condition:
        """What there is of the sandbox."""
        pid, state = self.holder(), self.state()
        if pid is None:
            return "down" if state is None else "killed"
        return "up" if state is not None and state.pid == pid else "starting"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For the time that this process has the sandbox.

        Raises:
            SandboxUpError: another process has it.
        """
        lock = self._lock()
        try:
            self._state.unlink(missing_ok=True)
            yield
        finally:
            self._state.unlink(missing_ok=True)
            os.close(lock)

    def holder(self) -> int | None:
        """The process that has the sandbox."""
        try:
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            asked = fcntl.fcntl(lock, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        finally:
            os.close(lock)
        kind, _, _, _, pid = struct.unpack(_FLOCK, asked)
        return None if kind == fcntl.F_UNLCK else pid

    def state(self) -> SandboxState | None:
        """What the present holder, or one that was killed, has written; None if there is none, or it is starting."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=SandboxState)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def write(self, state: SandboxState) -> None:
        """Tell others that the sandbox is up."""
        new = self._state.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(msgspec.json.encode(state))
        new.rename(self._state)

    def remove(self) -> None:
        """Forget the name. Nothing is done if somebody has just taken it."""
        with contextlib.suppress(SandboxUpError, FileNotFoundError):
            lock = self._lock()
            shutil.rmtree(self.directory)
            os.close(lock)

    @property
    def _state(self) -> Path:
        return self.directory / "state.json"

    @property
    def _lock_file(self) -> Path:
        return self.directory / "lock"

    def _lock(self) -> int:
        while True:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise SandboxUpError(f"sandbox {self.name} is up, or starting") from None
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(lock).st_ino == self._lock_file.stat().st_ino:
                    return lock
            os.close(lock)  # of a file that was removed meanwhile
