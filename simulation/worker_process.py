"""One process that computes clients' updates, as the simulation sees it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from components.client.agent.training_process import explain_exit, memory_kills
from simulation.worker_messages import Answer, Model, Request, read, write

ROOT = Path(__file__).parent.parent


class WorkerProcess:
    """A process of its own, and what it has: the `loaded` data of clients, and the model; `client` is whose work it
    does."""

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder(Answer)
        self.start()

    def start(self) -> None:
        """Starts it, in the place of one that has ended."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulation.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            # As a device's training process has it; one thread a process is what makes bits the same.
            env={"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
            | os.environ
            | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is the simulation's alone
        )
        self._kills_before = memory_kills()
        self.loaded: set[str] = set()
        self.has_model = False
        self.client: str | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def answers(self) -> BinaryIO:
        """What it says."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout  # type: ignore[return-value]

    def ask(self, thing: str, request: Request) -> None:
        """Has it do something for a client."""
        self.client = thing
        self.loaded.add(thing)
        self.say(request)

    def say(self, request: Request) -> None:
        """Says something. If it has just died, its silence tells."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self.has_model = self.has_model or isinstance(request, Model)
        try:
            write(self._process.stdin, request)  # type: ignore[arg-type]
        except BrokenPipeError:
            return

    def hear(self) -> Answer | None:
        """What it says next; None if it has ended."""
        data = read(self.answers)
        self.client = None
        return None if data is None else self._decoder.decode(data)

    def ending(self) -> str:
        """Why it has ended."""
        self._close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what the task has left behind
        return explain_exit(self._process.wait(), self._kills_before, memory_kills())

    def end(self) -> None:
        """Ends it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what the task has started
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                continue
