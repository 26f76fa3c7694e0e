"""The line to the cloud, as the agent knows it: what it sends, and whether it still hears anything."""

from collections.abc import Callable, Collection

from components.client.agent.ipc import Outcome
from components.client.agent.outbox import Outbox
from components.client.agent.watchdog import Watchdog


class Line:
    """Publishes by `send`, as `Outbox` does, and tells when to subscribe anew. AWS IoT answers each message to a topic
    in `answered`: if nothing arrives after one, the line is silent.

    Not thread-safe: it belongs to the agent's loop. Times are monotonic.
    """

    def __init__(self, send: Callable[[str, bytes, int], None], answered: Collection[str]) -> None:
        self._answered = answered
        self._outbox = Outbox(send)
        self._watchdog = Watchdog()

    def put(self, topic: str, payload: bytes, now: float) -> None:
        """Publishes a message, in the place of one of the same topic that still waits."""
        self._outbox.put(topic, payload, now)

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        """Takes note of how publishing a message went."""
        taken = self._outbox.on_outcome(outcome, now)
        if outcome.error is not None:
            self._watchdog.refused()
        elif taken in self._answered:
            self._watchdog.taken(now)

    def on_received(self, now: float) -> None:
        """A message has arrived: so the line is there, and what waits need not wait any longer."""
        self._watchdog.heard()
        self._outbox.wake(now)

    def on_change(self, *, connected: bool, now: float) -> None:
        """The nucleus says that the line has come, or gone."""
        self._watchdog.line_changed(is_down=not connected)
        if connected:
            self._outbox.wake(now)

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return min(self._outbox.next_wake(), self._watchdog.next_wake())

    def tick(self, now: float) -> bool:
        """Sends again what failed before, when its time has come; whether to subscribe anew."""
        self._outbox.tick(now)
        return self._watchdog.is_silent(now)
