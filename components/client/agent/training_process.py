"""One training process, as the agent sees it: what it says, how it ends, and why."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from components.client import exchange
from components.client.exchange import TrainerConfiguration

log = logging.getLogger(__name__)


class TrainerMessage(msgspec.Struct, frozen=True):
    """The training process of this generation said something."""

    generation: int
    event: exchange.Event


class Exited(msgspec.Struct, frozen=True):
    """The training process of this generation has ended; a negative status is the signal that killed it."""

    generation: int
    status: int


class TrainingProcess:
    """One training process, started at `started_at` (monotonic). What it says, and that it has ended, is posted from a
    thread of its own.

    Raises:
        OSError: it cannot be started: no memory, or too many processes or files.
    """

    def __init__(
        self,
        command: Sequence[str],
        configuration: TrainerConfiguration,
        generation: int,
        post: Callable[[TrainerMessage | Exited], None],
    ) -> None:
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                command,
                # Threads of torch that wait shall sleep: spinning, they take the processor from the device's real work.
                # And without a workspace of a fixed size, cuBLAS does not give the same bits again.
                env={"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"} | os.environ,
                stdin=subprocess.PIPE,
                bufsize=0,  # or what a dead process did not take would be tried again when its pipe is closed
                stdout=2,  # what a task prints goes to the component's log
                pass_fds=(writing,),
                process_group=0,
                umask=0o077,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.generation = generation
        self.started_at = time.monotonic()
        self.prepared = False
        self.stopped = False
        self.killed = False
        self.kills_before = memory_kills()
        self._post = post
        # Not on the command line, which everyone on the device can see.
        self.send(msgspec.structs.replace(configuration, events=writing))
        self._listener = threading.Thread(target=self._listen, args=(reading,), name="training-process", daemon=True)
        self._listener.start()

    def send(self, message: TrainerConfiguration | exchange.Request) -> None:
        """Hands over a request, or first of all its configuration. If the process has just died, its `Exited` tells."""
        assert self._process.stdin is not None  # noqa: S101
        rest = memoryview(msgspec.json.encode(message) + b"\n")
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) :]
        except BrokenPipeError:
            log.debug("the training process no longer listens")

    def kill(self) -> None:
        """Ends the process and those that it started; what it may still have said does not count."""
        self.killed = True
        if self._process.returncode is None:
            self._kill_group()

    def wait(self, seconds: float) -> None:
        """Returns when the process has ended, or this time has passed."""
        self._listener.join(seconds)

    def _listen(self, reading: int) -> None:
        decoder = msgspec.json.Decoder(exchange.Event)
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                try:
                    self._post(TrainerMessage(self.generation, decoder.decode(line)))
                except msgspec.DecodeError as error:  # cut off, as the process was killed
                    log.warning("cannot read an event of the training process", extra={"error": error})
        # While it waits to be asked for its status, its number is no other's: those that it has started and left behind
        # can be killed by it.
        with contextlib.suppress(ChildProcessError):  # something else in this process has asked for it
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self._kill_group()
        self._post(Exited(self.generation, self._process.wait()))

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("the training process has ended already")


def explain_exit(
    status: int, kills_before: int | None, kills_after: int | None, log: str = "the component's log"
) -> str:
    """Why a training process ended on its own, as far as its exit status tells, and the numbers of processes that Linux
    had killed for lack of memory when it started and when it ended. `log` is where it has written more."""
    if status == -signal.SIGKILL:
        if kills_before is None or kills_after is None:
            return "training process killed (signal 9): out of memory?"
        if kills_after > kills_before:
            return "out of memory: Linux killed the training process"
        return "training process killed (signal 9), and not by Linux for lack of memory"
    if status < 0:
        return f"training process crashed (signal {-status}, {signal.Signals(-status).name})"
    return f"training process ended with status {status}; {log} says why"


def memory_kills(vmstat: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes Linux has killed for lack of memory since it started, None if it does not tell."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
