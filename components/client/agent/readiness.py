"""Whether this device may train, as the cloud is told of it between rounds."""

import math
from collections.abc import Callable

from components.client.agent.conditions import Conditions, unmet
from fedgrass.task import DeviceState

LOOK_S = 300.0
"""How often a device looks at itself that has nothing to train: so often, at most, the cloud hears of it."""


class Readiness:
    """What was told last. While it is `busy` with a round, a device is no judge of itself: training makes it warm, and
    takes its memory. Times are monotonic. The task's own `ready` has no part in it: a process with torch would be
    started to ask it."""

    def __init__(self, conditions: Conditions, read: Callable[[], DeviceState]) -> None:
        self._conditions = conditions
        self._read = read
        self._told: bool | None = None
        self._due = math.inf

    def change(self, conditions: Conditions, now: float) -> None:
        """Has other conditions hold, of which `tick` soon says what they make of it."""
        self._conditions = conditions
        self._due = now

    def look(self, now: float, *, busy: bool) -> bool:
        """Whether the device may train, which is told by this."""
        if not busy or self._told is None:
            self._told = self._is_ready()
        self._due = now + LOOK_S if self._is_conditional or busy else math.inf
        return self._told

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return self._due

    def tick(self, now: float, *, busy: bool) -> bool:
        """Whether there is something new to tell."""
        if now < self._due:
            return False
        self._due = now + LOOK_S if self._is_conditional or busy else math.inf
        return not busy and self._told is not None and self._is_ready() != self._told

    @property
    def _is_conditional(self) -> bool:
        return self._conditions != Conditions()

    def _is_ready(self) -> bool:
        return not self._is_conditional or unmet(self._conditions, self._read()) is None
