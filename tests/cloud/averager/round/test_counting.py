"""cloud/averager/round/counting.py: what is left to count when some responses are on record already."""

from cloud.averager.round.counting import Counting
from cloud.state.lifecycle import Counted
from cloud.state.records import ResponseRecord, ResponseState
from tests.cloud.examples import round_record


def response(thing: str, state: ResponseState) -> ResponseRecord:
    return ResponseRecord(thing=thing, state=state, arrived_at=1.0, inspected_at=2.0)


ACCEPTED, FAILED = response("a", "accepted"), response("b", "failed")
BOTH = Counting({"a": ACCEPTED, "b": FAILED})


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
