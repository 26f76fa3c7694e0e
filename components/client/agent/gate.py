"""Holds an assignment back while the device is not ready for it."""

import logging
import math
from collections.abc import Callable

import msgspec

from components.client.agent.conditions import Conditions, Unmet, unmet
from fedgrass.task import DeviceState
from protocol.messages import Assignment, Progress

log = logging.getLogger(__name__)

RECHECK_S = 60.0
"""How often a device that waits looks at itself again."""

TASK_RECHECK_S = 300.0
"""How often the task's own `ready` is asked again: a process with torch is started for it."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What has to hold before training starts; if it does not, the device declines, or waits until the deadline."""

    conditions: Conditions = Conditions()
    wait: bool = False


class Gate:
    """Between the agent, which accepts assignments, and the training process.

    Each method gives what is to be told of the assignment, None if nothing. Times are monotonic.
    """

    def __init__(self, policy: Policy, read: Callable[[], DeviceState], start: Callable[[Assignment], None]) -> None:
        self._policy = policy
        self._read = read
        self._start = start
        self._held: Assignment | None = None
        self._running: Assignment | None = None
        self._last: str | None = None
        self._due = math.inf

    def change(self, policy: Policy, now: float) -> None:
        """Has another policy hold, also for what is held back already."""
        self._policy = policy
        if self._held is not None:
            self._due = now

    def submit(self, assignment: Assignment, now: float) -> Progress | None:
        """Starts an assignment, or declines it, or holds it back."""
        self._held, self._last = assignment, None
        return self._try(now)

    def on_not_ready(self, now: float) -> Progress | None:
        """The training process did not begin, since the task's own `ready` said no."""
        if self._running is None:
            return None
        self._held = self._running
        return self._hold(Unmet("ready", "not ready, says the task"), now, TASK_RECHECK_S)

    def cancel(self) -> None:
        """Forgets the assignment."""
        self._held = self._running = None
        self._due = math.inf

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return self._due

    def tick(self, now: float) -> Progress | None:
        """Looks again whether what is held back can start."""
        return self._try(now) if now >= self._due else None

    def _try(self, now: float) -> Progress | None:
        if self._held is None:
            return None
        wanting = unmet(self._policy.conditions, self._read())
        if wanting is not None:
            return self._hold(wanting, now, RECHECK_S)
        self._running, self._held = self._held, None
        self._due = math.inf
        self._start(self._running)
        return None

    def _hold(self, wanting: Unmet, now: float, recheck_s: float) -> Progress | None:
        assert self._held is not None  # noqa: S101
        round_number, life = self._held.round, self._held.life
        if not self._policy.wait:
            self.cancel()
            return Progress(round=round_number, life=life, phase="declined", reason=wanting.reason)
        self._due = now + recheck_s
        if wanting.condition == self._last:
            return None  # the shadow need not know each degree
        self._last = wanting.condition
        log.info("waiting", extra={"round": round_number, "reason": wanting.reason})
        return Progress(round=round_number, life=life, phase="accepted", reason=f"waiting: {wanting.reason}")
