"""The agent's side of the training process: starts it, tells it what to do, and ends it."""

import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec

from components.client import exchange, memory_kills
from components.client.exchange import Began, Cancelled, Ended, Loaded, NotReady, Workplace
from protocol.messages import Assignment, Progress

log = logging.getLogger(__name__)

CONFIRM_S = 0.5
"""How long a training process may take to stop what was called off; then it is killed. Training that is not wanted any
more ends within a second."""

TRAINER = (sys.executable, "-m", "components.client.trainer")


class Said(msgspec.Struct, frozen=True):
    """The training process of this generation said something."""

    generation: int
    event: exchange.Event


class Exited(msgspec.Struct, frozen=True):
    """The training process of this generation has ended; a negative status is the signal that killed it."""

    generation: int
    status: int


class _Process:
    """One training process. What it says, and that it has ended, is posted from a thread of its own."""

    def __init__(
        self,
        command: Sequence[str],
        workplace: Workplace,
        generation: int,
        post: Callable[[Said | Exited], None],
    ) -> None:
        reading, writing = os.pipe()
        try:
            argument = msgspec.json.encode(msgspec.structs.replace(workplace, events=writing)).decode()
            self._process = subprocess.Popen(
                [*command, argument],
                # Threads of torch that wait shall sleep: spinning, they take the processor from the device's real work.
                # And without a workspace of a fixed size, cuBLAS does not give the same bits again.
                env={"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"} | os.environ,
                stdin=subprocess.PIPE,
                stdout=2,  # what a task prints goes to the component's log
                pass_fds=(writing,),
                process_group=0,
            )
        finally:
            os.close(writing)
        self.generation = generation
        self.killed = False
        self.kills_before = memory_kills.count()
        self._post = post
        self._listener = threading.Thread(target=self._listen, args=(reading,), name="training-process", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: exchange.Request) -> None:
        """Hands over a request. If the process has just died, its `Exited` tells."""
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            log.debug("the training process no longer listens")

    def kill(self) -> None:
        """Ends the process and those that it started; what it may still have said does not count."""
        self.killed = True
        if self._process.returncode is not None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("the training process has ended already")

    def wait(self, seconds: float) -> None:
        """Returns when the process has ended, or this time has passed."""
        self._listener.join(seconds)

    def _listen(self, reading: int) -> None:
        decoder = msgspec.json.Decoder(exchange.Event)
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                try:
                    self._post(Said(self.generation, decoder.decode(line)))
                except msgspec.DecodeError as error:  # cut off, as the process was killed
                    log.warning("cannot read an event of the training process", extra={"error": error})
        self._post(Exited(self.generation, self._process.wait()))


class Supervisor:
    """Has assignments trained by a process that is started when needed and kept warm for a while.

    Not thread-safe: it belongs to the agent's loop, which hands it what `post` was called with. Times are monotonic.
    """

    def __init__(
        self,
        workplace: Workplace,
        keep_warm_s: float,
        post: Callable[[Said | Exited], None],
        command: Sequence[str] = TRAINER,
    ) -> None:
        self._workplace = workplace
        self.keep_warm_s = keep_warm_s
        self._outdated = False
        self._post = post
        self._command = command
        self._generation = 0
        self._number = 0
        self._process: _Process | None = None
        self._request: exchange.Train | None = None
        self._began = False
        self._fresh = False
        self._cancelled: int | None = None
        self._kill_due = math.inf
        self._idle_due = math.inf

    @property
    def pid(self) -> int | None:
        """The training process, if there is one."""
        return self._process.pid if self._process else None

    def move(self, workplace: Workplace) -> None:
        """Has the next round trained at this workplace; one that is under way ends where it began."""
        self._outdated = self._process is not None and workplace != self._workplace
        self._workplace = workplace
        if self._outdated and self._request is None and self._cancelled is None:
            self.stop()

    def train(self, assignment: Assignment, accepted_at: float, cloud_offset_s: float | None = None) -> None:
        """Has an assignment trained; the one before has to have ended, or been cancelled."""
        if self._outdated:
            self.stop()
        self._number += 1
        self._request = exchange.Train(self._number, assignment, accepted_at, cloud_offset_s)
        self._began = False
        self._fresh = self._process is None
        self._idle_due = math.inf
        if self._process is None:
            self._start()
        else:
            self._process.send(self._request)

    def cancel(self, now: float) -> None:
        """Calls off what is being trained; nothing more is heard of it."""
        if self._request is None or self._process is None:
            return
        self._cancelled = self._request.number
        self._kill_due = now + CONFIRM_S
        self._process.send(exchange.Cancel(self._request.number))
        self._request = None

    def on_event(self, event: Said | Exited, now: float) -> Loaded | NotReady | Progress | None:
        """What an event means for the assignment that is being trained, None if nothing.

        Its end is Progress in a final phase, also when the process crashed or was killed.
        """
        if self._process is None or event.generation != self._process.generation:
            return None
        if isinstance(event, Exited):
            return self._on_exit(event.status)
        if self._process.killed:
            return None
        said = event.event
        if isinstance(said, Ended | Cancelled | NotReady) and said.number == self._cancelled:
            self._cancelled = None
            self._kill_due = math.inf
            self._idle(now)
        if self._request is None or said.number != self._request.number:
            return None
        match said:
            case Loaded():
                return said
            case Began():
                self._began = True
                return None
            case Cancelled():
                return None
            case NotReady():
                self._request = None
                self._idle(now)
                return said
            case Ended(_, progress):
                self._request = None
                self._idle(now)
                return progress
            case exchange.Advanced(_, progress):
                return progress

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return min(self._kill_due, self._idle_due)

    def tick(self, now: float) -> None:
        """Kills a process that has not stopped what was called off, and ends one that has been idle for long."""
        if now >= self._kill_due and self._process is not None:
            log.warning("the training process did not stop in time: killing it")
            self._kill_due = math.inf
            self._process.kill()
        if now >= self._idle_due:
            self.stop()

    def stop(self) -> None:
        """Ends the training process, whatever it does."""
        self._idle_due = self._kill_due = math.inf
        self._cancelled = None
        if self._process is not None:
            self._process.kill()
            self._process = None

    def shut_down(self, grace_s: float) -> None:
        """Ends the training process: it has so long to save a checkpoint. Takes up to `grace_s`."""
        if self._process is not None:
            self._process.send(exchange.Stop())
            self._process.wait(grace_s)
        self.stop()

    def _start(self) -> None:
        self._generation += 1
        self._outdated = False
        self._process = _Process(self._command, self._workplace, self._generation, self._post)
        if self._request is not None:
            self._process.send(self._request)

    def _idle(self, now: float) -> None:
        if self._request is None and self._cancelled is None:
            self._idle_due = now if self._outdated else now + self.keep_warm_s

    def _on_exit(self, status: int) -> Progress | None:
        assert self._process is not None  # noqa: S101
        process, self._process = self._process, None
        self._kill_due = self._idle_due = math.inf
        self._cancelled = None
        if self._request is None:
            return None
        if process.killed or status == exchange.EXIT_STOPPED or not (self._began or self._fresh):
            # It was killed for what was called off, or died while it waited: this request has not been tried. Or it was
            # told to end by someone who tells this process too (systemd does): then this start is in vain, else it goes
            # on.
            self._fresh = True
            self._start()
            return None
        round_number, self._request = self._request.assignment.round, None
        return Progress(
            round=round_number, phase="failed", reason=explain_exit(status, process.kills_before, memory_kills.count())
        )


def explain_exit(status: int, kills_before: int | None, kills_after: int | None) -> str:
    """Why a training process ended on its own, as far as its exit status tells, and the numbers of processes that Linux
    had killed for lack of memory when it started and when it ended."""
    if status == -signal.SIGKILL:
        if kills_before is None or kills_after is None:
            return "training process killed (signal 9): out of memory?"
        if kills_after > kills_before:
            return "out of memory: Linux killed the training process"
        return "training process killed (signal 9), and not by Linux for lack of memory"
    if status < 0:
        return f"training process crashed (signal {-status}, {signal.Signals(-status).name})"
    return f"training process ended with status {status}; the component's log says why"
