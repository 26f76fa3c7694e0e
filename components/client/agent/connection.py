"""The line to the cloud, as the agent knows it: what it sends, and whether it still hears anything.

Subscriptions can go silent, which no nucleus tells. When nucleus lite's MQTT daemon restarts, their streams stay open,
and nothing comes on them any more: what is published is taken, and never answered. To subscribe anew is the remedy. A
line that is down is another matter: there publishing is refused, or the nucleus says so, and nothing but waiting helps.
"""

import math
from collections.abc import Callable, Collection

from components.client.agent.ipc import Outcome
from components.client.agent.outbox import Outbox

FIRST_WAIT_S = 60.0
MAX_WAIT_S = 900.0


class Line:
    """Publishes by `send`, as `Outbox` does, and tells when to subscribe anew. AWS IoT answers each message to a topic
    in `answered`: if nothing arrives for long after the first one that was taken, the line is silent.

    Not thread-safe: it belongs to the agent's loop. Times are monotonic.
    """

    def __init__(self, send: Callable[[str, bytes, int], None], answered: Collection[str]) -> None:
        self._answered = answered
        self._outbox = Outbox(send)
        self._is_down = False
        self._wait_s = FIRST_WAIT_S
        self._silent_at = math.inf

    def put(self, topic: str, payload: bytes, now: float) -> None:
        """Publishes a message, in the place of one of the same topic that still waits."""
        self._outbox.put(topic, payload, now)

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        """Takes note of how publishing a message went."""
        taken = self._outbox.on_outcome(outcome, now)
        if outcome.error is not None:
            self._silent_at = math.inf  # what was taken before may have been lost with the line
        elif taken in self._answered and self._silent_at == math.inf and not self._is_down:
            self._silent_at = now + self._wait_s

    def on_received(self, now: float) -> None:
        """A message has arrived: so the line is there, and what waits need not wait any longer."""
        self._silent_at = math.inf
        self._wait_s = FIRST_WAIT_S
        self._is_down = False
        self._outbox.wake(now)

    def on_change(self, *, connected: bool, now: float) -> None:
        """The nucleus says that the line has come, or gone."""
        self._silent_at = math.inf
        self._is_down = not connected
        if connected:
            self._outbox.wake(now)

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return min(self._outbox.next_wake(), self._silent_at)

    def tick(self, now: float) -> bool:
        """Sends again what failed before, when its time has come; whether to subscribe anew. After that the next answer
        may take twice as long."""
        self._outbox.tick(now)
        if now < self._silent_at:
            return False
        self._silent_at = math.inf
        self._wait_s = min(2 * self._wait_s, MAX_WAIT_S)
        return True
