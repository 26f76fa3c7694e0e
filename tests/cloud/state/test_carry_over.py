"""cloud/state/carry_over.py: what a round leaves to the next one."""

from typing import Any

import msgspec
import pytest

from cloud.averager.round.client_histories import history_of
from cloud.averager.round.round_end import vanished
from cloud.state.carry_over import assignment_of, busy_after, carried_after, given_up
from cloud.state.clients import ClientHistory
from cloud.state.records import Carried, CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from tests.cloud.examples import federation, report, round_record

OLD = CohortMember(thing="a", turnaround_s=20.0, missed=1, assigned_in=3, assigned_at=900.0)
NEW = CohortMember(thing="b", turnaround_s=5.0)
NOBODY = Responses(notified={"b": 1001.0})


def fifth(limit: int = 2, **changes: Any) -> RoundRecord:
    """A round that has ended with a model, for which "a" was busy since the third."""
    settings = federation(target=1, max_staleness=limit, rounds=9)
    ended = {"status": "closed", "averaging_at": 2000.0, "deadline": 2000.0}
    return round_record(**{"settings": settings, "round": 5, "cohort": (OLD, NEW)} | ended | changes)


def accepted(thing: str, round_number: int, arrived_at: float = 1010.0) -> ResponseRecord:
    about = report(thing, round=round_number)
    return ResponseRecord(thing=thing, state="accepted", arrived_at=arrived_at, inspected_at=arrived_at, report=about)


def test_an_assignment_is_that_of_the_round_or_an_older_one() -> None:
    assert [assignment_of(fifth(), thing) for thing in ("a", "b", "c")] == [3, 5, None]


def test_clients_without_an_answer_stay_busy_with_the_history_that_they_had() -> None:
    since = msgspec.structs.replace(NEW, assigned_in=5, assigned_at=1001.0)
    assert busy_after(fifth(limit=3), NOBODY) == (OLD, since)
    assert busy_after(fifth(limit=2), NOBODY) == (since,)
    assert given_up(fifth(limit=2), NOBODY) == [OLD]


@pytest.mark.parametrize("state", ["accepted", "failed", "declined"])
def test_a_client_that_has_answered_is_not_busy(state: Any) -> None:
    response = ResponseRecord(thing="a", state=state, arrived_at=1.0, inspected_at=1.0)
    responses = Responses(accepted=(response,)) if state == "accepted" else Responses(failed=(response,))
    assert busy_after(fifth(limit=3, cohort=(OLD,)), responses) == ()


def test_a_client_whose_update_was_refused_is_not_busy() -> None:
    refused = ResponseRecord(thing="a", state="refused", arrived_at=1.0, inspected_at=1.0, reason="malformed")
    responses = Responses(refused=(refused,), notified=NOBODY.notified)
    assert [member.thing for member in busy_after(fifth(limit=3), responses)] == ["b"]
    assert given_up(fifth(limit=3), responses) == [OLD]


def test_a_client_that_could_not_be_told_is_not_busy_but_all_are_until_that_is_noted() -> None:
    assert busy_after(fifth(limit=3, notified_at=1002.0), Responses()) == (OLD,)
    assert busy_after(fifth(limit=3), Responses(notified={"c": 1001.0})) == (OLD,)
    since = msgspec.structs.replace(NEW, assigned_in=5, assigned_at=1000.0)
    assert busy_after(fifth(limit=3), Responses()) == (OLD, since)


def test_nobody_is_busy_after_the_last_round_or_one_that_an_operator_aborted() -> None:
    assert busy_after(fifth(limit=3, round=9), NOBODY) == ()
    assert busy_after(fifth(limit=3, status="aborted"), NOBODY) == ()
    assert len(busy_after(fifth(limit=3, status="aborted", carry=True), NOBODY)) == 2


def test_carried_updates_are_as_old_as_their_assignments_and_not_older_than_allowed() -> None:
    record = fifth(carried=(Carried(thing="c", round=4, age=1), Carried(thing="d", round=4, age=2)), carry=True)
    responses = Responses(accepted=(accepted("a", 4), accepted("b", 5)))
    assert carried_after(record, responses) == (
        Carried(thing="a", round=5, age=2),
        Carried(thing="b", round=5, age=1),
        Carried(thing="c", round=4, age=2),
    )
    assert carried_after(fifth(), responses) == ()


def test_carried_updates_keep_the_probability_with_which_their_clients_were_selected() -> None:
    drawn = msgspec.structs.replace(NEW, inclusion=0.25)
    record = fifth(
        limit=3, cohort=(OLD, drawn), carried=(Carried(thing="c", round=4, age=1, inclusion=0.5),), carry=True
    )
    carried = carried_after(record, Responses(accepted=(accepted("b", 5),)))
    assert [(one.thing, one.inclusion) for one in carried] == [("b", 0.25), ("c", 0.5)]
    assert [member.inclusion for member in busy_after(record, NOBODY)] == [None, 0.25]


def test_a_late_turnaround_is_that_from_the_clients_own_assignment() -> None:
    record = fifth(settings=federation(target=1, max_staleness=2, rounds=9, selection={"smoothing": 0.5}))
    responses = Responses(accepted=(accepted("a", 3, arrived_at=1010.0),), notified=NOBODY.notified)
    assert history_of(OLD, record, responses) == ClientHistory(
        thing="a",
        turnaround_s=0.5 * 20 + 0.5 * (1010 - 900),
        missed=0,
        last_round=5,
        download_s=1.0,
        train_s=2.0,
        upload_s=1010 - 900 - 3.0,
    )


def test_a_client_has_missed_nothing_and_has_not_vanished_while_a_later_round_waits_for_it() -> None:
    record = fifth(limit=2)
    assert history_of(NEW, record, NOBODY) == ClientHistory(
        thing="b", turnaround_s=2000.0 - 1001, missed=0, last_round=None
    )
    assert history_of(OLD, record, NOBODY) == ClientHistory(
        thing="a",
        turnaround_s=2000.0 - 900,
        missed=2,
        last_round=5,
        last_reason="no answer before the deadline",
    )
    assert vanished(record, NOBODY) == ("a",)
