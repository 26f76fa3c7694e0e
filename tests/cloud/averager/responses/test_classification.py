"""cloud/averager/responses/classification.py: which round wants a response, if any does."""

import pytest

from cloud.averager.responses.classification import classify, newest_of, round_for
from cloud.averager.responses.inspection import RefusedError
from cloud.averager.responses.messages import ArrivedOutcome, ArrivedUpdate, Response
from cloud.averager.responses.verdicts import records_of_good
from cloud.state.records import CohortMember, RoundRecord
from protocol.messages import Outcome, RoundStatus
from protocol.names import UpdateName
from tests.cloud.examples import federation, round_record

ROUND = round_record("a", "b")


def update(thing: str, arrived_at: float = 1.0) -> ArrivedUpdate:
    name = UpdateName("f", 1, thing)
    return ArrivedUpdate(message_id="m", name=name, key=f"updates/{thing}", version_id="v", arrived_at=arrived_at)


def outcome(thing: str, arrived_at: float = 1.0) -> ArrivedOutcome:
    said = Outcome(thing=thing, shadow="fedgrass-f", round=1, phase="failed", reason="no data")
    return ArrivedOutcome(message_id="m", federation="f", outcome=said, arrived_at=arrived_at)


def test_of_each_client_the_newest_update_and_the_newest_outcome_are_looked_at() -> None:
    sent: list[Response] = [update("a", 2.0), update("a", 1.0), outcome("a", 1.5), update("b"), outcome("a", 3.0)]
    assert set(newest_of(sent)) == {update("a", 2.0), update("b"), outcome("a", 3.0)}


def test_an_update_is_still_to_be_inspected_and_an_outcome_counts_as_it_is() -> None:
    wanted, good = classify([update("a"), outcome("b")], ROUND, ROUND, lambda *_: True)
    assert (wanted.verdict, wanted.record) == ("wanted", None)
    assert good.verdict == "good"
    assert good.record is not None
    assert (good.record.state, good.record.reason) == ("failed", "no data")
    assert records_of_good([wanted, good]) == {"b": good.record}


def test_what_a_stranger_sends_is_recorded_with_a_reason_and_what_it_says_is_not() -> None:
    sent, said = classify([update("c"), outcome("c")], ROUND, ROUND, lambda *_: True)
    assert (sent.verdict, said.verdict, said.record) == ("unwanted", "unwanted", None)
    assert sent.record is not None
    assert (sent.record.state, sent.record.reason) == ("refused", "not in cohort")


def test_what_comes_when_its_round_has_ended_is_late_and_an_outcome_is_not_recorded_then() -> None:
    ended = round_record("a", status="closed")
    sent, said = classify([update("a"), outcome("a")], ended, ended, lambda *_: True)
    assert (sent.verdict, said.verdict, said.record) == ("late", "late", None)
    assert sent.record is not None
    assert sent.record.reason == "late: the round is closed"


def test_a_thing_that_has_left_the_group_is_a_stranger_and_only_clients_are_looked_for_in_it() -> None:
    grouped = round_record("a", "b", settings=federation(target=1, thing_group="cows"))
    asked = []

    def is_member(group: str, thing: str) -> bool:
        asked.append((group, thing))
        return thing == "b"

    judged = classify([update("a"), update("b"), update("c")], grouped, grouped, is_member)
    assert [(one.verdict, one.record and one.record.reason) for one in judged] == [
        ("unwanted", "not in thing group cows"),
        ("wanted", None),
        ("unwanted", "not in cohort"),
    ]
    assert asked == [("cows", "a"), ("cows", "b")]


@pytest.mark.parametrize("status", ["averaging", "closed", "aborted"])
def test_an_update_that_comes_after_its_round_is_late(status: RoundStatus) -> None:
    with pytest.raises(RefusedError, match=f"^late: the round is {status}$"):
        ended = round_record("a", status=status)
        round_for(ended, ended, "a")


def test_a_sender_that_was_not_selected_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"^not in cohort$"):
        round_for(ROUND, ROUND, "stranger")
    assert round_for(ROUND, ROUND, "b") is ROUND


def rounds_of(age: int, status: RoundStatus = "open", limit: int = 2) -> tuple[RoundRecord, RoundRecord]:
    """Round 1, which has ended, and one so many rounds later, for which "a" is busy still."""
    settings = federation(target=1, max_staleness=limit)
    assigned = round_record("a", "b", settings=settings, status="closed")
    busy = (CohortMember(thing="a", assigned_in=1, assigned_at=1000.0), CohortMember(thing="b"))
    return assigned, round_record(settings=settings, round=1 + age, status=status, cohort=busy)


def test_in_a_buffered_federation_a_late_update_counts_in_the_round_that_is_open() -> None:
    assigned, latest = rounds_of(2)
    assert round_for(assigned, latest, "a") is latest


def test_a_late_update_of_a_client_that_the_open_round_does_not_wait_for_is_late() -> None:
    assigned, latest = rounds_of(2)
    with pytest.raises(RefusedError, match=r"^late: the round is closed$"):
        round_for(assigned, latest, "b")  # it has a newer assignment
    with pytest.raises(RefusedError, match=r"^late: the round is closed$"):
        round_for(*rounds_of(2, limit=0), "a")


@pytest.mark.parametrize("status", ["averaging", "closed", "aborted"])
def test_a_late_update_that_comes_between_two_rounds_has_to_wait(status: RoundStatus) -> None:
    assigned, latest = rounds_of(1, status)
    assert round_for(assigned, latest, "a") is None
    assert round_for(assigned, assigned, "a") is None
    with pytest.raises(RefusedError, match=r"^too old: assigned 3 rounds ago; max_staleness is 2$"):
        round_for(*rounds_of(2, status), "a")


def test_an_update_that_is_older_than_the_settings_allow_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"^too old: assigned 3 rounds ago; max_staleness is 2$"):
        round_for(*rounds_of(3), "a")


def test_after_the_last_round_no_update_waits() -> None:
    last = round_record("a", settings=federation(target=1, max_staleness=2, rounds=1), status="closed")
    with pytest.raises(RefusedError, match=r"^late: the round is closed$"):
        round_for(last, last, "a")
