"""Messages on their way out: one at a time, each replaced by a newer one of its kind, retried until it is taken.

A nucleus refuses to publish while the broker is away (lite) or keeps what it took in memory (classic): either way
a message that was taken may not arrive, so nothing here is proof of delivery.
"""

import logging
import math
import random
from collections.abc import Callable

from components.client.agent.ipc import Outcome

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
MAX_RETRY_S = 60.0
ANSWER_S = 10.0
"""A publish call that takes longer has been lost: calls have no time limit of their own."""


class Outbox:
    """Publishes by `send(topic, payload, ticket)`, whose outcome has to come back through `on_outcome`.

    Not thread-safe: it belongs to the agent's loop. `jitter` gives a factor for each wait.
    """

    def __init__(
        self,
        send: Callable[[str, bytes, int], None],
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311
    ) -> None:
        self._send = send
        self._jitter = jitter
        self._waiting: dict[str, bytes] = {}
        self._sending: tuple[str, bytes] | None = None
        self._ticket = 0
        self._failures = 0
        self._due = math.inf

    def put(self, topic: str, payload: bytes, now: float) -> None:
        """Sends a message, after those that wait already, in the place of one of the same topic that still waits."""
        self._waiting.pop(topic, None)
        self._waiting[topic] = payload
        if self._sending is None and self._failures == 0:
            self._send_next(now)

    def wake(self, now: float) -> None:
        """Sends at once what waits to be tried again: there is a sign that the line is back."""
        self._failures = 0
        if self._sending is None:
            self._send_next(now)

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return self._due

    def tick(self, now: float) -> None:
        """Sends again what failed before, when its time has come."""
        if now < self._due:
            return
        if self._sending is not None:
            self._failed(now, f"no answer in {ANSWER_S:.0f} s")
        else:
            self._send_next(now)

    def on_outcome(self, outcome: Outcome, now: float) -> str | None:
        """Takes note of how a call of `send` ended, and tells the topic of the message if that was taken; an outcome
        that comes too late is ignored."""
        if self._sending is None or outcome.ticket != self._ticket:
            return None
        if outcome.error is not None:
            self._failed(now, outcome.error)
            return None
        taken, _ = self._sending
        self._sending = None
        self._failures = 0
        self._due = math.inf
        self._send_next(now)
        return taken

    def _send_next(self, now: float) -> None:
        if not self._waiting:
            self._due = math.inf
            return
        topic = next(iter(self._waiting))
        self._sending = topic, self._waiting.pop(topic)
        self._ticket += 1
        self._due = now + ANSWER_S
        self._send(*self._sending, self._ticket)

    def _failed(self, now: float, error: str) -> None:
        assert self._sending is not None  # noqa: S101
        topic, payload = self._sending
        self._sending = None
        self._waiting = {topic: payload, **self._waiting}  # first in line, unless a newer one waits
        wait_s = min(FIRST_RETRY_S * 2**self._failures, MAX_RETRY_S) * self._jitter()
        self._failures = min(self._failures + 1, 16)
        self._due = now + wait_s
        log.warning("cannot publish; trying again in %.1f s", wait_s, extra={"topic": topic, "error": error})
