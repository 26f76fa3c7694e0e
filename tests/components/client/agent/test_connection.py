"""What the agent makes of a line that goes, comes, and goes silent; through hours, by a clock that the test moves."""

import itertools
import math

from components.client.agent.connection import FIRST_WAIT_S, MAX_WAIT_S, Line
from components.client.agent.ipc import Outcome

GET, HELLO = "get", "hello"


class Agent:
    """Publishes on a line, whose nucleus takes a message or refuses it, at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.refuses = False
        self.sent: list[float] = []
        self.renewed: list[float] = []
        self.line = Line(self._send, {GET})
        self._outcomes: list[Outcome] = []

    def _send(self, _topic: str, _payload: bytes, ticket: int) -> None:
        self.sent.append(self.now)
        self._outcomes.append(Outcome(ticket, "ServiceError" if self.refuses else None))

    def publish(self, topic: str) -> None:
        self.line.put(topic, b"", self.now)
        self._settle()

    def hear(self) -> None:
        self.line.on_received(self.now)
        self._settle()

    def live(self, seconds: float) -> None:
        """Asks each five minutes, and after each renewal, as the agent does; nothing answers."""
        end = self.now + seconds
        while self.now < end:
            asks_at = (self.now // 300 + 1) * 300
            self.now = min(self.line.next_wake(), asks_at, end)
            if self.line.tick(self.now):
                self.renewed.append(self.now)
                self.publish(GET)
            self._settle()
            if self.now == asks_at:
                self.publish(GET)

    def _settle(self) -> None:
        while self._outcomes:
            self.line.on_outcome(self._outcomes.pop(0), self.now)


def test_what_is_taken_and_not_answered_for_a_minute_is_a_reason_to_subscribe_anew() -> None:
    agent = Agent()
    agent.publish(GET)
    agent.live(FIRST_WAIT_S - 1)
    assert agent.renewed == []
    agent.live(1)
    assert agent.renewed == [FIRST_WAIT_S]


def test_while_it_stays_silent_the_waits_grow_to_a_quarter_of_an_hour() -> None:
    agent = Agent()
    agent.publish(GET)
    agent.live(4 * 3600)
    times = [0.0, *agent.renewed]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:5] == [60, 120, 240, 480, MAX_WAIT_S]
    assert set(waits[5:]) == {MAX_WAIT_S}
    assert len(waits) < 20


def test_anything_that_arrives_brings_the_short_wait_back() -> None:
    agent = Agent()
    agent.publish(GET)
    agent.live(3600)
    agent.hear()
    agent.renewed.clear()
    agent.publish(GET)
    start = agent.now
    agent.live(FIRST_WAIT_S)
    assert agent.renewed == [start + FIRST_WAIT_S]


def test_an_answer_in_time_is_no_reason() -> None:
    agent = Agent()
    for _ in range(20):
        agent.publish(GET)
        agent.live(FIRST_WAIT_S - 5)
        agent.hear()
    assert agent.renewed == []


def test_what_has_no_answer_is_no_reason() -> None:
    agent = Agent()
    agent.publish(HELLO)
    assert agent.line.next_wake() == math.inf


def test_a_line_that_refuses_for_hours_is_tried_each_minute_and_nothing_is_subscribed_to() -> None:
    agent = Agent()
    agent.refuses = True
    agent.publish(GET)
    agent.live(12 * 3600)
    assert agent.renewed == []
    assert len(agent.sent) < 12 * 60 * 2.1


def test_what_was_taken_before_the_line_was_known_to_be_down_is_no_reason() -> None:
    agent = Agent()
    agent.publish(GET)
    agent.live(50)
    agent.refuses = True
    agent.publish(GET)
    agent.live(FIRST_WAIT_S)
    assert agent.renewed == []


def test_a_nucleus_that_keeps_messages_while_the_line_is_down_and_says_that_it_is_down_is_not_asked_anew() -> None:
    agent = Agent()
    agent.line.on_change(connected=False, now=agent.now)
    agent.publish(GET)
    agent.live(3600)
    assert agent.renewed == []
    agent.line.on_change(connected=True, now=agent.now)
    agent.publish(GET)
    start = agent.now
    agent.live(FIRST_WAIT_S)
    assert agent.renewed == [start + FIRST_WAIT_S]


def test_a_message_that_arrives_ends_the_wait_after_a_refusal() -> None:
    agent = Agent()
    agent.refuses = True
    agent.publish(GET)
    agent.live(250)
    agent.refuses = False
    assert agent.line.next_wake() > agent.now
    agent.hear()
    assert agent.sent[-1] == agent.now
    assert agent.line.next_wake() == agent.now + FIRST_WAIT_S, "and its answer is awaited"


def test_a_line_that_is_back_ends_the_wait_after_a_refusal() -> None:
    agent = Agent()
    agent.refuses = True
    agent.publish(GET)
    agent.live(250)
    agent.refuses = False
    agent.line.on_change(connected=True, now=agent.now)
    assert agent.sent[-1] == agent.now
