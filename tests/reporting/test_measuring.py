"""What a run folder says of a round, from its record and the responses to it."""

from typing import Any

import msgspec
import pytest

from cloud.state.records import Carried, CohortMember
from cloud.state.rounds import Responses
from reporting.measuring import client_rows, round_line
from reporting.records import STEPS, ClientRow
from tests.cloud.examples import report
from tests.reporting.examples import answered, ended, outcome, timings, update


def rows_of(record: Any, responses: Responses) -> dict[str, ClientRow]:
    return {row.client: row for row in client_rows(record, responses)}


def test_the_time_of_a_round_is_split_from_the_end_of_the_one_before() -> None:
    record = ended(1)
    line = round_line(record, answered(record), record.opened_at - 3)
    assert line.split == dict(zip(STEPS, (3.0, 2.0, 1.0, 2.0, 2.0, 1.0, 0.0, 1.0, 1.0), strict=True))
    assert line.round_s == 13.0 == sum(line.split.values())
    assert line.training_s == 1.5


def test_what_a_round_waits_for_others_is_none_of_its_averaging() -> None:
    record = ended(1)
    record = msgspec.structs.replace(record, averaging_at=record.opened_at + 608, averaged_at=record.opened_at + 609)
    split = round_line(record, answered(record), None).split
    assert (split["wait"], split["average"]) == (600.0, 1.0)


def test_the_first_round_begins_when_it_opens() -> None:
    record = ended(1)
    line = round_line(record, answered(record), None)
    assert (line.round_s, line.split["open"]) == (10.0, 0.0)


def test_a_round_without_updates_has_no_split() -> None:
    record = ended(1, status="aborted", model=None, averaged_at=None, accepted=0, reason="too few")
    line = round_line(record, Responses(), None)
    assert (line.split, line.training_s, line.examples, line.reason) == ({}, 0.0, 0, "too few")
    assert line.model_sha256 == record.base.sha256


def test_a_round_counts_who_answered_and_how_many_bytes_went_each_way() -> None:
    record = ended(2, "a", "b", "c", "d", accepted=2, failed=1, refused=1, vanished=("d",))
    record = msgspec.structs.replace(record, carried=(Carried(thing="z", round=1, age=1),))
    refused = update(record, "stranger", "refused", reason="no member of the cohort")
    line = round_line(record, answered(record, outcome(record, "c", "failed", "no memory"), refused), None)
    assert (line.cohort, line.accepted, line.failed, line.refused, line.vanished, line.carried) == (4, 2, 1, 1, 1, 1)
    assert line.bytes_down == 4 * record.base.bytes
    assert line.bytes_up == 400


@pytest.mark.parametrize(("recorded", "told"), [(0.05, 0.05), (None, 0.1)])
def test_the_learning_rate_is_the_rounds_own_or_if_it_is_older_than_schedules_that_of_its_settings(
    recorded: float | None, told: float
) -> None:
    record = msgspec.structs.replace(ended(1), learning_rate=recorded)
    assert round_line(record, answered(record), None).learning_rate == told


def test_each_client_has_a_row_with_what_became_of_it() -> None:
    record = ended(1, "a", "b", "c", "d", "e", vanished=("d",))
    responses = Responses(
        accepted=(update(record, "a"),),
        failed=(outcome(record, "b", "failed", "out of memory"), outcome(record, "c", "declined", "battery")),
        refused=(
            update(record, "a", "refused", reason="a duplicate"),
            update(record, "z", "refused", reason="stranger"),
        ),
    )
    assert {row.client: (row.state, row.reason) for row in client_rows(record, responses)} == {
        "a": ("accepted", None),
        "b": ("failed", "out of memory"),
        "c": ("declined", "battery"),
        "d": ("vanished", None),
        "e": ("unanswered", None),
        "z": ("refused", "stranger"),
    }


def test_the_turnaround_of_a_client_is_split() -> None:
    record = ended(1)
    row = rows_of(record, answered(record))["a"]
    steps = (row.wait_s, row.download_s, row.train_s, row.upload_s)
    assert steps == (1.0, 1.0, 2.0, 2.0)
    assert row.turnaround_s == 6.0 == sum(step or 0 for step in steps)
    assert (row.inspect_s, row.train_alone_s) == (1.0, 1.5)
    assert (row.examples, row.steps, row.bytes, row.norm) == (10, 2, 100, 0.5)
    assert row.metrics == {"accuracy_before": 0.25, "accuracy_after": 0.5}


def test_a_client_that_works_on_an_older_round_has_waited_since_that_one() -> None:
    record = ended(2)
    member = CohortMember(thing="a", assigned_in=1, assigned_at=record.opened_at - 5)
    record = msgspec.structs.replace(record, cohort=(member,))
    responses = msgspec.structs.replace(answered(record), notified={})
    assert rows_of(record, responses)["a"].turnaround_s == 12.0
    assert round_line(record, responses, None).bytes_down == 0


def test_a_response_whose_notification_is_not_known_has_no_turnaround() -> None:
    record = ended(1)
    row = rows_of(record, msgspec.structs.replace(answered(record), notified={}))["a"]
    assert (row.turnaround_s, row.wait_s, row.download_s) == (None, None, 1.0)


@pytest.mark.parametrize("moment", [-1.7e308, 1.7e308])
def test_a_device_whose_clock_says_anything_makes_no_number_that_json_lacks(moment: float) -> None:
    record = ended(1, "a")
    about = report("a", timings=timings(record.opened_at, downloaded_at=moment, trained_at=-moment))
    responses = answered(record, update(record, "a", report=about))
    line = round_line(record, responses, None)
    assert line.split.keys() == set(STEPS) - {"train"}
    assert msgspec.json.decode(msgspec.json.encode(line), type=type(line)) == line
    assert rows_of(record, responses)["a"].train_s is None


def test_a_reason_that_utf8_can_not_hold_is_written_all_the_same() -> None:
    record = ended(1, reason="file \udcff", warnings=("tensor \ud800",))
    line = round_line(record, answered(record), None)
    assert (line.reason, line.warnings) == ("file \\udcff", ("tensor \\ud800",))
    assert msgspec.json.encode(line)
