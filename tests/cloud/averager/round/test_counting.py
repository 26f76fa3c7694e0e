"""cloud/averager/round/counting.py: what is left to count when some responses are on record already, and
what is written when a thing is expelled."""

from cloud.averager.round.counting import Counting, Expelling
from cloud.state.lifecycle import Counted, Expelled
from cloud.state.records import EXPELLED, ResponseRecord, ResponseState
from tests.cloud.examples import round_record


def response(thing: str, state: ResponseState) -> ResponseRecord:
    return ResponseRecord(thing=thing, state=state, arrived_at=1.0, inspected_at=2.0)


ACCEPTED, FAILED = response("a", "accepted"), response("b", "failed")
BOTH = Counting({"a": ACCEPTED, "b": FAILED})
CLIENT = Expelling(thing="a", at_time=5.0, is_client=True)


def test_updates_and_failures_are_counted_apart() -> None:
    assert BOTH.event == Counted(accepted=1, failed=1)


def test_an_update_recovers_its_client_that_failed_before_and_is_counted_for_its_failure() -> None:
    states: list[ResponseState] = ["failed", "declined"]
    for known in states:
        recovering = BOTH.without({"a": known})
        assert recovering.event == Counted(accepted=1, failed=1, recovered=1)
        assert recovering.recovered == {"a"}


def test_a_second_update_and_a_second_failure_are_duplicates() -> None:
    assert BOTH.without({"a": "accepted", "b": "failed"}).event == Counted()
    assert BOTH.without({"b": "accepted"}) == Counting({"a": ACCEPTED})


def test_an_update_that_recovered_its_client_meanwhile_is_a_duplicate() -> None:
    assert BOTH.without({"a": "failed"}).without({"a": "accepted"}).event == Counted(failed=1)


def test_nothing_counts_of_a_client_that_was_expelled_meanwhile() -> None:
    assert BOTH.at(round_record("a", "b", expelled=("a",))) == Counting({"b": FAILED})


def test_a_client_fails_in_the_place_of_what_it_had_answered() -> None:
    answered = CLIENT.without({"a": "accepted"})
    assert answered.event == Expelled("a", "accepted")
    assert answered.recovered == {"a"}
    assert [(r.thing, r.state, r.reason) for r in answered.responses.values()] == [("a", "failed", EXPELLED)]


def test_a_client_without_an_answer_replaces_none() -> None:
    assert (CLIENT.event, CLIENT.recovered) == (Expelled("a"), frozenset())


def test_of_a_thing_that_is_no_client_nothing_is_recorded() -> None:
    stranger = Expelling(thing="c", at_time=5.0, is_client=False)
    assert (stranger.event, stranger.responses) == (Expelled("c"), {})


def test_what_it_had_answered_is_looked_for_again_when_the_round_has_moved_on() -> None:
    assert CLIENT.without({"a": "failed"}).at(round_record("a")) == CLIENT
