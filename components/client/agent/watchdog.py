"""Notices that subscriptions have gone silent, which no nucleus tells.

When nucleus lite's MQTT daemon restarts, the streams of subscriptions stay open, and nothing comes on them any more:
what is published is taken, and never answered. To subscribe anew is the remedy. A line that is down is another matter:
there publishing is refused, or the nucleus says so, and nothing but waiting helps.
"""

import math

FIRST_WAIT_S = 60.0
MAX_WAIT_S = 900.0


class Watchdog:
    """Counts from the first message that was taken and has an answer; any message that arrives begins anew.

    Not thread-safe: it belongs to the agent's loop. Times are monotonic.
    """

    def __init__(self) -> None:
        self._due = math.inf
        self._wait_s = FIRST_WAIT_S
        self._line_is_down = False

    def taken(self, now: float) -> None:
        """The nucleus has taken a message that an answer will follow."""
        if self._due == math.inf and not self._line_is_down:
            self._due = now + self._wait_s

    def refused(self) -> None:
        """The nucleus has refused a message: what it took before may have been lost with the line."""
        self._due = math.inf

    def heard(self) -> None:
        """A message has arrived."""
        self._due = math.inf
        self._wait_s = FIRST_WAIT_S
        self._line_is_down = False

    def line_changed(self, *, is_down: bool) -> None:
        """The nucleus says how the line is."""
        self._due = math.inf
        self._line_is_down = is_down

    def next_wake(self) -> float:
        """When `is_silent` may hold."""
        return self._due

    def is_silent(self, now: float) -> bool:
        """Whether it is time to subscribe anew. After that the next answer may take twice as long."""
        if now < self._due:
            return False
        self._due = math.inf
        self._wait_s = min(2 * self._wait_s, MAX_WAIT_S)
        return True
