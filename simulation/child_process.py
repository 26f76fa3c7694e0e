"""A process of its own that computes, as the one sees it that has started it and talks with it over two pipes."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, BinaryIO, Generic, TypeVar

import msgspec

from components.client.agent.training_process import explain_exit, memory_kills
from simulation.frames import read, write

ROOT = Path(__file__).parent.parent

_Request = TypeVar("_Request", bound=msgspec.Struct)
_Answer = TypeVar("_Answer")


class ChildProcess(Generic[_Request, _Answer]):
    """Runs main() of `module`, with one thread of torch. What it prints goes to `output`, or to where ours goes."""

    def __init__(self, module: str, answer: Any, output: IO[bytes] | None = None) -> None:
        self._module = module
        self._decoder: msgspec.msgpack.Decoder[_Answer] = msgspec.msgpack.Decoder(answer)
        self._output = output
        self.start()

    def start(self) -> None:
        """Starts it, in the place of one that has ended."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulation.child", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            bufsize=0,  # a selector sees all that has come
            cwd=ROOT,
            # As a device's training process has it; one thread a process is what makes bits the same.
            env={"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
            | os.environ
            | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the one that has started it
        )
        self._kills_before = memory_kills()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def answers(self) -> BinaryIO:
        """What it says."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout  # type: ignore[return-value]

    def say(self, request: _Request) -> None:
        """Says something. If it has just died, its silence tells."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):
            write(self._process.stdin, request)  # type: ignore[arg-type]

    def hear(self) -> _Answer | None:
        """What it says next; None if it has ended."""
        data = read(self.answers)
        return None if data is None else self._decoder.decode(data)

    def ask_to_end(self) -> None:
        """Asks it to save what it has, and to end."""
        self._process.terminate()

    def has_ended(self, within_s: float) -> bool:
        """Waits for its end."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ending(self, log: str) -> str:
        """Why it has ended; `log` is where it has written more."""
        self._close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what the task has left behind
        return explain_exit(self._process.wait(), self._kills_before, memory_kills(), log)

    def end(self) -> None:
        """Ends it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what the task has started
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
