from components.client.agent.ipc import Outcome
from components.client.agent.outbox import ANSWER_S, MAX_RETRY_S, Outbox


class Line:
    """Where messages go: keeps them, until the test says how it went."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.ticket = 0
        self.box = Outbox(self._send, jitter=lambda: 1.0)

    def _send(self, topic: str, payload: bytes, ticket: int) -> None:
        self.sent.append((topic, payload))
        self.ticket = ticket

    def answer(self, now: float, error: str | None = None) -> None:
        self.box.on_outcome(Outcome(self.ticket, error), now)


def test_one_message_is_under_way_at_a_time_in_order() -> None:
    line = Line()
    for topic in ("a", "b", "c"):
        line.box.put(topic, b"1", 0.0)
    assert line.sent == [("a", b"1")]
    line.answer(0.0)
    line.answer(0.0)
    line.answer(0.0)
    assert line.sent == [("a", b"1"), ("b", b"1"), ("c", b"1")]
    assert line.box.next_wake() == float("inf")


def test_a_newer_message_replaces_one_that_waits() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    line.box.put("a", b"2", 0.0)
    line.box.put("a", b"3", 0.0)
    line.answer(0.0)
    line.answer(0.0)
    assert line.sent == [("a", b"1"), ("a", b"3")]


def test_a_refused_message_is_sent_again_after_growing_waits() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    now, waits = 0.0, []
    for _ in range(10):
        line.answer(now, "ServiceError")
        waits.append(line.box.next_wake() - now)
        line.box.tick(line.box.next_wake() - 0.01)
        now = line.box.next_wake()
        line.box.tick(now)
    assert waits[:4] == [0.5, 1, 2, 4]
    assert waits[-1] == MAX_RETRY_S
    assert line.sent == [("a", b"1")] * 11
    line.answer(now)
    line.box.put("a", b"2", now)
    assert line.sent[-1] == ("a", b"2")


def test_a_newer_message_replaces_a_refused_one() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    line.box.put("a", b"2", 0.0)
    line.answer(0.0, "ServiceError")
    line.box.tick(line.box.next_wake())
    line.answer(1.0)
    assert line.sent == [("a", b"1"), ("a", b"2")]


def test_nothing_is_sent_while_waiting_to_try_again() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    line.answer(0.0, "ServiceError")
    line.box.put("b", b"1", 0.1)
    assert line.sent == [("a", b"1")]


def test_a_sign_of_the_line_sends_at_once_what_waits_and_the_waits_begin_anew() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    now = 0.0
    for _ in range(8):
        line.answer(now, "ServiceError")
        now = line.box.next_wake()
        line.box.tick(now)
    line.answer(now, "ServiceError")
    sent = len(line.sent)
    line.box.put("b", b"1", now)
    assert len(line.sent) == sent
    line.box.wake(now + 1)
    assert line.sent[sent:] == [("a", b"1")]
    line.box.wake(now + 1)
    assert line.sent[sent:] == [("a", b"1")], "one at a time, however many signs there are"
    line.answer(now + 1, "ServiceError")
    assert line.box.next_wake() == now + 1.5
    line.box.wake(now + 1.1)
    line.answer(now + 1.1)
    assert line.sent[sent:] == [("a", b"1"), ("a", b"1"), ("b", b"1")]


def test_a_sign_of_the_line_sends_nothing_if_nothing_waits() -> None:
    line = Line()
    line.box.wake(0.0)
    assert (line.sent, line.box.next_wake()) == ([], float("inf"))
    line.box.put("a", b"1", 0.0)
    line.answer(0.0)
    line.box.wake(1.0)
    assert line.sent == [("a", b"1")]


def test_it_tells_what_was_taken() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    assert line.box.on_outcome(Outcome(line.ticket, "ServiceError"), 0.0) is None
    line.box.tick(line.box.next_wake())
    assert line.box.on_outcome(Outcome(line.ticket, None), 1.0) == "a"
    assert line.box.on_outcome(Outcome(line.ticket, None), 1.0) is None


def test_a_call_without_an_answer_is_made_again_and_its_late_answer_ignored() -> None:
    line = Line()
    line.box.put("a", b"1", 0.0)
    lost = line.ticket
    line.box.tick(ANSWER_S)
    line.box.tick(line.box.next_wake())
    assert line.sent == [("a", b"1"), ("a", b"1")]
    line.box.on_outcome(Outcome(lost, "too late"), 20.0)
    line.answer(20.0)
    assert line.box.next_wake() == float("inf")
