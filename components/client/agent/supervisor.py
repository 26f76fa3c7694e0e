"""The agent's side of the training process: starts it, tells it what to do, and ends it."""

import logging
import math
import sys
from collections.abc import Callable, Sequence

import msgspec

from components.client import exchange
from components.client.agent.training_process import Exited, TrainerMessage, TrainingProcess, explain_exit, memory_kills
from components.client.exchange import Began, Cancelled, Ended, Entered, Loaded, NotReady, Stopped, TrainerConfiguration
from protocol.messages import Assignment, Progress

log = logging.getLogger(__name__)

CONFIRM_S = 0.5
"""How long a training process may take to stop what was called off; then it is killed. Training that is not wanted any
more ends within a second."""

PREPARE_S = 300.0
"""How long a process may take to load torch and the task before it is killed for that: on a slow card a minute is
nothing special, and to kill it would only mean to begin again."""

MAX_STOPS = 3
"""So often another process goes on for one that was told to end by others than the agent."""

TRAINER = (sys.executable, "-m", "components.client.trainer.process")


class NotStarted(msgspec.Struct, frozen=True):
    """No training process of this generation could be started."""

    generation: int
    reason: str


Event = TrainerMessage | Exited | NotStarted


class Supervisor:
    """Has assignments trained by a process that is started when needed and kept warm for a while.

    Not thread-safe: it belongs to the agent's loop, which hands it what `post` was called with. Times are monotonic.
    """

    def __init__(
        self,
        configuration: TrainerConfiguration,
        keep_warm_s: float,
        post: Callable[[Event], None],
        command: Sequence[str] = TRAINER,
    ) -> None:
        self._configuration = configuration
        self.keep_warm_s = keep_warm_s
        self._outdated = False
        self._post = post
        self._command = command
        self._generation = 0
        self._number = 0
        self._process: TrainingProcess | None = None
        self._request: exchange.Train | None = None
        self._began = False
        self._fresh = False
        self._stops = 0
        self._cancelled: int | None = None
        self._kill_due = math.inf
        self._idle_due = math.inf

    def reconfigure(self, configuration: TrainerConfiguration) -> None:
        """Has the next round trained with this configuration; one that is under way ends with the one it began with."""
        self._outdated = self._process is not None and configuration != self._configuration
        self._configuration = configuration
        if self._outdated and self._request is None and self._cancelled is None:
            self.stop()

    def train(self, assignment: Assignment, accepted_at: float, cloud_offset_s: float | None = None) -> None:
        """Has an assignment trained; the one before has to have ended, or been cancelled."""
        if self._outdated:
            self.stop()
        self._number += 1
        self._request = exchange.Train(self._number, assignment, accepted_at, cloud_offset_s)
        self._began = False
        self._stops = 0
        self._fresh = self._process is None
        self._idle_due = math.inf
        if self._process is None:
            self._start()
        else:
            self._process.send(self._request)

    def cancel(self, now: float) -> None:
        """Calls off what is being trained; nothing more is heard of it."""
        if self._request is None or self._process is None:
            self._request = None
            return
        self._cancelled = self._request.number
        self._kill_due = now + CONFIRM_S
        if not self._process.prepared:
            self._kill_due = max(self._kill_due, self._process.started_at + PREPARE_S)
        self._process.send(exchange.Cancel(self._request.number))
        self._request = None

    def on_event(self, event: Event, now: float) -> Loaded | NotReady | Entered | Progress | None:
        """What an event means for the assignment that is being trained, None if nothing.

        Its end is Progress in a final phase, also when the process crashed or was killed.
        """
        if isinstance(event, NotStarted):
            return self._end(event.reason) if event.generation == self._generation else None
        if self._process is None or event.generation != self._process.generation:
            return None
        if isinstance(event, Exited):
            return self._on_exit(event.status)
        if self._process.killed:
            return None
        said = event.event
        if isinstance(said, Stopped):
            self._process.stopped = True
            return None
        self._process.prepared = self._process.prepared or not isinstance(said, Entered)
        if isinstance(said, Ended | Cancelled | NotReady) and said.number == self._cancelled:
            self._cancelled = None
            self._kill_due = math.inf
            self._idle(now)
        if self._request is None or said.number != self._request.number:
            return None
        match said:
            case Loaded() | Entered():
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
                life, self._request = self._request.assignment.life, None
                self._idle(now)
                return msgspec.structs.replace(progress, life=life)
            case exchange.Advanced(_, progress):
                return msgspec.structs.replace(progress, life=self._request.assignment.life)

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
        try:
            self._process = TrainingProcess(self._command, self._configuration, self._generation, self._post)
        except OSError as error:
            self._post(NotStarted(self._generation, f"cannot start a training process: {error}"))
            return
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
        self._stops += process.stopped
        if process.killed or (process.stopped and self._stops <= MAX_STOPS) or not (self._began or self._fresh):
            # It was killed for what was called off, or died while it waited: this request has not been tried. Or it was
            # told to end by someone who tells this process too (systemd does): then this start is in vain, else it goes
            # on.
            self._fresh = True
            self._start()
            return None
        if process.stopped:
            return self._end(f"training process was told to end (SIGTERM) {self._stops} times, and not by the agent")
        return self._end(explain_exit(status, process.kills_before, memory_kills()))

    def _end(self, reason: str) -> Progress | None:
        """The end of the request that there is, if there is one."""
        if self._request is None:
            return None
        assignment, self._request = self._request.assignment, None
        return Progress(round=assignment.round, life=assignment.life, phase="failed", reason=reason)
