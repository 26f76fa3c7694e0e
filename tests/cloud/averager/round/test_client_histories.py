"""cloud/averager/round/client_histories.py: what a round teaches about its clients."""

from typing import Literal

import msgspec

from cloud.averager.round.client_histories import history_of
from cloud.state.clients import ClientHistory
from cloud.state.records import ClientRecord, CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from tests.cloud.examples import federation, round_record

NEW = CohortMember(thing="a")
KNOWN = CohortMember(thing="a", turnaround_s=20.0, missed=3)
OPENED, NOTIFIED, DEADLINE = 1000.0, 1002.0, 1600.0


IN_TIME, WHEN_ENDED = "no answer before the deadline", "no answer before the round ended"


def after(turnaround_s: float | None, missed: int, reason: str | None = None, thing: str = "a") -> ClientHistory:
    """What round 1 teaches."""
    return ClientHistory(thing=thing, turnaround_s=turnaround_s, missed=missed, last_round=1, last_reason=reason)


def ended(at: float, smoothing: float = 0.75) -> RoundRecord:
    """A round that went on to averaging at a time."""
    settings = federation(selection={"smoothing": smoothing})
    return round_record("a", settings=settings, opened_at=OPENED, deadline=DEADLINE, averaging_at=at)


def accepted(thing: str = "a", at: float = 1012.0, notified_at: float | None = NOTIFIED) -> Responses:
    response = ResponseRecord(thing=thing, state="accepted", arrived_at=at, inspected_at=at + 1)
    return Responses(accepted=(response,), notified={} if notified_at is None else {"a": notified_at, "b": 1004.0})


def failed(state: Literal["failed", "declined"]) -> Responses:
    response = ResponseRecord(thing="a", state=state, arrived_at=1012.0, inspected_at=1012.0, reason="out of memory")
    return Responses(failed=(response,), notified={"a": NOTIFIED})


NOBODY = Responses(notified={"a": NOTIFIED})


def test_the_first_turnaround_is_taken_as_it_is() -> None:
    assert history_of(NEW, ended(1100.0), accepted()) == after(10.0, 0)


def test_later_turnarounds_are_smoothed() -> None:
    history = history_of(KNOWN, ended(1100.0, 0.75), accepted())
    assert history == after(0.75 * 20 + 0.25 * 10, 0)
    assert history_of(KNOWN, ended(1100.0, 0.0), accepted()) == after(10.0, 0)


def test_the_norm_is_that_of_the_last_update() -> None:
    (response,) = accepted().accepted
    with_norm = Responses(accepted=(msgspec.structs.replace(response, norm=2.5),), notified={"a": NOTIFIED})
    history = history_of(KNOWN, ended(1100.0), with_norm)
    assert history is not None
    assert history.norm == 2.5
    client = ClientRecord(federation="f", thing="a", norm=9.0, last_reason="failed: no power")
    after_it = history.added_to(client)
    assert (after_it.norm, after_it.last_reason, after_it.last_round) == (2.5, None, 1)
    missed = history_of(KNOWN, ended(1600.0), NOBODY)
    assert missed is not None
    assert missed.added_to(after_it).norm == 2.5
    assert missed.added_to(after_it).last_reason == IN_TIME


def test_closing_a_round_twice_teaches_the_same() -> None:
    """The history starts from what the cohort remembers, not from what the clients table has by now."""
    record = ended(1100.0)
    first = history_of(KNOWN, record, accepted())
    assert history_of(KNOWN, msgspec.structs.replace(record, status="closed", closed_at=1200.0), accepted()) == first


def test_a_client_that_the_deadline_found_without_an_answer_has_missed_one_more() -> None:
    history = history_of(KNOWN, ended(DEADLINE), accepted("b"))
    assert history == after(DEADLINE - NOTIFIED, 4, IN_TIME)
    assert history_of(NEW, ended(DEADLINE), NOBODY) == after(DEADLINE - NOTIFIED, 1, IN_TIME)


def test_a_client_that_the_round_did_not_wait_for_is_at_least_as_slow_as_the_time_it_had_and_has_missed_none() -> None:
    history = history_of(KNOWN, ended(1052.0), NOBODY)
    assert history == after(50.0, 3, WHEN_ENDED)
    history = history_of(KNOWN, ended(1007.0), NOBODY)
    assert history == after(20.0, 3, WHEN_ENDED)  # it was not asked for so little


def test_an_aborted_round_counts_until_its_end() -> None:
    record = msgspec.structs.replace(ended(1100.0), averaging_at=None, status="aborted", closed_at=1052.0)
    assert history_of(NEW, record, NOBODY) == after(50.0, 0, WHEN_ENDED)


def test_a_client_that_failed_has_missed_one_more_and_one_that_declined_has_not() -> None:
    history = history_of(KNOWN, ended(1100.0), failed("failed"))
    assert history == after(20.0, 4, "failed: out of memory")
    history = history_of(KNOWN, ended(1100.0), failed("declined"))
    assert history == after(20.0, 3, "declined: out of memory")


def test_a_round_that_has_not_ended_teaches_nothing_of_those_who_may_still_answer() -> None:
    record = msgspec.structs.replace(ended(1100.0), averaging_at=None)
    assert history_of(KNOWN, record, NOBODY) is None
    assert history_of(NEW, record, accepted()) == after(10.0, 0)


def test_a_client_whose_assignment_was_not_noted_is_measured_from_the_opening() -> None:
    history = history_of(NEW, ended(1100.0), accepted(notified_at=None))
    assert history == after(12.0, 0)


def test_a_turnaround_is_never_negative() -> None:
    history = history_of(NEW, ended(1100.0), accepted(at=1001.0))
    assert history == after(0.0, 0)


def test_the_last_reason_of_a_client_whose_update_was_refused_is_the_refusals_until_another_counts() -> None:
    refusal = ResponseRecord(thing="a", state="refused", arrived_at=1012.0, inspected_at=1012.0, reason="not finite")
    another = msgspec.structs.replace(refusal, thing="b", reason="too large")
    refused = Responses(refused=(another, refusal), notified={"a": NOTIFIED})
    assert history_of(KNOWN, ended(DEADLINE), refused) == after(DEADLINE - NOTIFIED, 4, "refused: not finite")
    both = msgspec.structs.replace(refused, accepted=accepted().accepted)
    assert history_of(NEW, ended(DEADLINE), both) == after(10.0, 0)
