"""cloud/averager/closing.py: what a round teaches about its clients."""

import msgspec
import pytest

from cloud.averager.closing import history_of
from cloud.state.clients import ClientHistory
from cloud.state.records import CohortMember, ResponseRecord, RoundRecord
from tests.cloud.examples import federation, round_record

NEW = CohortMember(thing="a")
KNOWN = CohortMember(thing="a", turnaround_s=20.0, missed=3)


def round_with(smoothing: float = 0.75) -> RoundRecord:
    settings = federation(selection={"smoothing": smoothing})
    return round_record("a", settings=settings, opened_at=1000.0, notified={"a": 1002.0, "b": 1004.0})


def arrival(thing: str = "a", at: float = 1012.0) -> ResponseRecord:
    return ResponseRecord(thing=thing, state="accepted", arrived_at=at, inspected_at=at + 1)


def test_the_first_turnaround_is_taken_as_it_is() -> None:
    assert history_of(NEW, round_with(), [arrival()]) == ClientHistory(thing="a", turnaround_s=10.0, missed=0)


def test_later_turnarounds_are_smoothed() -> None:
    history = history_of(KNOWN, round_with(0.75), [arrival()])
    assert history.turnaround_s == pytest.approx(0.75 * 20 + 0.25 * 10)
    assert history.missed == 0
    assert history_of(KNOWN, round_with(0.0), [arrival()]).turnaround_s == 10.0


def test_closing_a_round_twice_teaches_the_same() -> None:
    """The history starts from what the cohort remembers, not from what the clients table has by now."""
    record = round_with()
    first = history_of(KNOWN, record, [arrival()])
    assert history_of(KNOWN, msgspec.structs.replace(record, status="averaging"), [arrival()]) == first


def test_a_client_that_did_not_answer_has_missed_one_more_and_keeps_its_turnaround() -> None:
    assert history_of(KNOWN, round_with(), [arrival("b")]) == ClientHistory(thing="a", turnaround_s=20.0, missed=4)
    assert history_of(NEW, round_with(), []) == ClientHistory(thing="a", turnaround_s=None, missed=1)


def test_a_client_whose_assignment_was_not_noted_is_measured_from_the_opening() -> None:
    record = msgspec.structs.replace(round_with(), notified=None)
    assert history_of(NEW, record, [arrival()]).turnaround_s == 12.0


def test_a_turnaround_is_never_negative() -> None:
    assert history_of(NEW, round_with(), [arrival(at=1001.0)]).turnaround_s == 0.0
