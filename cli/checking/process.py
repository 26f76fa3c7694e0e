"""The process that tries things out, from outside: what it says, what it prints, and how it ends, if not by itself."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil

from cli.checking.findings import Entered, Event, Facts, Finding, Finished, Found, Learned, Request, at

SLOW_S = 2.0
"""After so long, the step that is under way is told, and at which line it is."""

HANGING = "had not ended"
"""What is told of a step that takes longer, has this in it."""

LIMIT_S = 60.0
_LIMITS_S = {
    "import of task.py": 20.0,
    "build_model": 20.0,
    "import of torch": 300.0,
    "start of": 300.0,
    "policies": 20.0,
}
"""How long a step may take that has this in its name, and any other."""

_KEPT_BYTES = 4000
_FRAME = re.compile(r'^ *File "([^"]+)", line (\d+)', re.MULTILINE)


class Output:
    """What a process writes to a pipe: its beginning and its end, and how much there was between them."""

    def __init__(self, pipe: int) -> None:
        self._head = self._tail = b""
        self.written_bytes = 0
        self._thread = threading.Thread(target=self._read, args=(pipe,), name="output", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """It, as far as it is kept."""
        self._thread.join(1.0)  # a process that the task has left may keep the pipe
        left_out = self.written_bytes - len(self._head) - len(self._tail)
        between = f"\n... {left_out:,} bytes ...\n".encode() if left_out else b""
        return (self._head + between + self._tail).decode(errors="backslashreplace").strip()

    def _read(self, pipe: int) -> None:
        with open(pipe, "rb", buffering=0) as stream:
            while content := stream.read(65536):
                self.written_bytes += len(content)
                room = _KEPT_BYTES - len(self._head)
                self._head += content[:room]
                self._tail = (self._tail + content[room:])[-_KEPT_BYTES:]


class TrialProcess:
    """The process, for the time of a `with` block: at its end it is gone, with all that it has started. It prepares
    itself from the beginning of the block on. `limit_s` replaces how long each step may take."""

    def __init__(self, *, needs_torch: bool, limit_s: float | None = None) -> None:
        self._needs_torch = needs_torch
        self._limit_s = limit_s
        self._step = "the start of Python"
        self._begun = time.monotonic()
        self.facts = Facts()
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fedgrass-check-")))
        self._temporary = str(self.directory / "tmp")
        Path(self._temporary).mkdir()
        self._traces = self.directory / "traces"
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "cli.checking.trial", str(self._traces)]
        self._process = subprocess.Popen(
            [*command, *(["torch"] if self._needs_torch else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writing,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": self._temporary, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        os.close(writing)
        self._output = Output(reading)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="events", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self._stack.close()

    @property
    def printed(self) -> str:
        """What the task has printed, as far as it is kept; the process is ended for it."""
        self.end()
        return self._output.text

    @property
    def printed_bytes(self) -> int:
        """How much it has printed so far."""
        return self._output.written_bytes

    def run(self, request: Request, tell: Callable[[str], None]) -> Iterator[Finding]:
        """Have it try things out, and give what it finds, as it does. `tell` is called with the step that is under way,
        and with what takes long."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is found below
            self._process.stdin.write(msgspec.json.encode(request, enc_hook=str) + b"\n")
            self._process.stdin.flush()
        has_told = False
        while True:
            wait_s = (self._limit() if has_told or self._is_ours else SLOW_S) - (time.monotonic() - self._begun)
            try:
                line = self._lines.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                place = self._stands(request)
                if has_told or self._is_ours:
                    yield self._hung(place)
                    return
                has_told = True
                where = "" if place is None else f", at {place.file}:{place.line}: {place.code}"
                tell(f"{self._step} {HANGING} after {SLOW_S:g} s{where}")
                continue
            if not line:
                yield self._ended(request)
                return
            match msgspec.json.decode(line, type=Event):
                case Entered(step):
                    self._enter(step)
                    has_told = False
                    tell(step)
                case Found(finding):
                    yield finding
                case Learned(facts):
                    self.facts = facts
                case Finished():
                    self._enter("")
                    return

    def _enter(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[self._step] = self.seconds.get(self._step, 0.0) + now - self._begun
        self._step, self._begun = step, now

    @property
    def _is_ours(self) -> bool:
        """Whether nothing of the user's runs."""
        return self._step in ("the import of torch", "the start of Python")

    def _limit(self) -> float:
        if self._limit_s is not None and not self._is_ours:
            return self._limit_s
        return next((limit for part, limit in _LIMITS_S.items() if part in self._step), LIMIT_S)

    def _hung(self, place: Finding | None) -> Finding:
        text = f"{self._step} {HANGING} after {self._limit():g} s"
        remedy = "look for a loop that never ends, or for something that it waits for; or do less at once"
        if place is None:
            return Finding(text=text, remedy=remedy)
        return msgspec.structs.replace(place, text=text, remedy=remedy)

    def _ended(self, request: Request) -> Finding:
        """What has become of a process that has not said that it has finished."""
        status = self._process.wait()
        place = self._traced(request) or Finding(text="")
        if status == -signal.SIGKILL:
            text = f"{self._step}: the process was killed (SIGKILL), as Linux does when there is no memory left"
            remedy = "load less at once: a device has less memory than this machine"
        elif status < 0:
            text = f"{self._step}: the process crashed ({signal.Signals(-status).name})"
            remedy = (
                "a library crashed, or ended the process: try the line by itself, and look at the library's version"
            )
        else:
            text = f"{self._step}: the process was ended, with status {status}"
            remedy = "nothing of a task may end its process: raise an exception that says what is wrong"
        return msgspec.structs.replace(place, text=text, remedy=remedy)

    def _stands(self, request: Request) -> Finding | None:
        """The line of the user's at which the process is now."""
        before = self._traces.stat().st_size if self._traces.exists() else 0
        try:
            self._process.send_signal(signal.SIGUSR1)
        except ProcessLookupError:
            return None
        until = time.monotonic() + 1.0
        while time.monotonic() < until and self._size() == before:
            time.sleep(0.01)
        time.sleep(0.02)
        return self._traced(request, before)

    def _size(self) -> int:
        return self._traces.stat().st_size if self._traces.exists() else 0

    def _traced(self, request: Request, since: int = 0) -> Finding | None:
        """The innermost line of the user's in what faulthandler has written; it begins with the innermost."""
        try:
            text = self._traces.read_bytes()[since:].decode(errors="replace")
        except OSError:
            return None
        frames = _FRAME.findall(text)
        if "most recent call first" not in text:
            frames.reverse()
        for file, line in frames:
            for folder in (request.task, request.directory):
                if folder is not None and file.startswith(_as_traced(folder) + "/"):
                    return at(folder / file.removeprefix(_as_traced(folder) + "/"), int(line), "")
        return None

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def end(self) -> None:
        """Kill it, and what it has started; none left is fine."""
        started = []
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in [*started, *self._left()]:  # those in sessions of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _left(self) -> Iterator[psutil.Process]:
        """What it has started and does not wait for: the folder for its temporary files tells."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("TMPDIR") == self._temporary:
                    yield process


def _as_traced(path: Path) -> str:
    """As faulthandler writes what is not ASCII."""
    return str(path).encode("ascii", "backslashreplace").decode()
