"""A federation's rounds from its tables into a run folder."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.state.models import Models
from cloud.state.records import FederationRecord, RoundRecord
from cloud.state.rounds import Responses, Rounds
from reporting.fetching import Fetched, fetch, read_rounds
from reporting.folder_access import RunFolderExistsError
from reporting.records import MODEL
from reporting.run_folder import RunFolder
from sandbox.simulated_clients import SimulatedDevices
from tests.cloud.examples import federation
from tests.cloud.simulated import SimulatedFederation
from tests.reporting.examples import ended

THINGS = ("d0", "d1")


def run_round(simulated: SimulatedFederation, number: int) -> None:
    simulated.opened(number)
    for thing in THINGS:
        simulated.answer(thing, number, after={"loss": 1 / number})
    assert simulated.ended(number).status == "closed"


@pytest.fixture
def ran(simulated: SimulatedFederation) -> SimulatedFederation:
    """Three rounds of four; the second one was aborted."""
    simulated.create(THINGS, rounds=4)
    simulated.start()
    run_round(simulated, 1)
    simulated.opened(2)
    simulated.abort(2, "the power went")
    simulated.ended(2)
    run_round(simulated, 3)
    simulated.opened(4)
    return simulated


def fetched(simulated: SimulatedDevices, path: Path, **arguments: Any) -> Fetched:
    operations = simulated.operations
    record = operations.federations.get(simulated.name)
    return fetch(record, operations.rounds_reader, operations.models, path, **arguments)


def write(simulated: SimulatedFederation, table: str, key: dict[str, Any], attribute: str, value: str) -> None:
    """Write what another version might have written into an item that is there."""
    simulated.aws.client("dynamodb").update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET #attribute = :value",
        ExpressionAttributeNames={"#attribute": attribute},
        ExpressionAttributeValues={":value": {"S": value}},
    )


def test_fetching_again_adds_what_is_new_and_changes_nothing_else(ran: SimulatedFederation, tmp_path: Path) -> None:
    seen: list[int] = []
    first = fetched(ran, tmp_path, look=lambda line: seen.append(line.round))
    assert (first.new, first.problems, seen) == (3, (), [1, 2, 3])
    folder = RunFolder(tmp_path)
    assert [(line.round, line.status, line.reason) for line in folder.rounds()] == [
        (1, "closed", None),
        (2, "aborted", "the power went"),
        (3, "closed", None),
    ]
    assert [line.metrics for line in folder.rounds()][::2] == [
        {"loss_after": 1.0},
        {"loss_after": pytest.approx(1 / 3)},
    ]
    assert [(row.round, row.client, row.state) for row in folder.clients()] == [
        *[(1, thing, "accepted") for thing in THINGS],
        *[(2, thing, "unanswered") for thing in THINGS],
        *[(3, thing, "accepted") for thing in THINGS],
    ]
    assert folder.settings() == ran.operations.federations.get(ran.name).settings
    assert (folder.summary.source, folder.summary.status, folder.summary.life) == ("aws", "running", ran.life)
    record = ran.operations.federations.get(ran.name)
    assert (folder.path / MODEL).read_bytes() == ran.operations.models.get(record.model)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "summary.json"}

    assert fetched(ran, tmp_path).new == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "summary.json"} == before

    run_round(ran, 4)
    ran.settled()
    assert fetched(ran, tmp_path).new == 1
    folder = RunFolder(tmp_path)
    assert [line.round for line in folder.rounds()] == [1, 2, 3, 4]
    assert (folder.summary.status, folder.summary.rounds, folder.summary.totals.closed) == ("finished", 4, 3)
    assert folder.summary.model is not None
    assert folder.summary.model.round == 4
    assert (tmp_path / "rounds.jsonl").read_bytes().startswith(before["rounds.jsonl"])


def test_some_rounds_are_fetched_where_they_are_asked_for(ran: SimulatedFederation, tmp_path: Path) -> None:
    assert fetched(ran, tmp_path, first=2, last=2).new == 1
    assert fetched(ran, tmp_path, last=2).new == 0
    assert fetched(ran, tmp_path, first=3).new == 1
    lines = list(RunFolder(tmp_path).rounds())
    assert [line.round for line in lines] == [2, 3]
    assert lines[0].round_s == pytest.approx(
        lines[0].ended_at - lines[0].opened_at
    )  # not since a round that is not there
    assert lines[1].round_s == pytest.approx(lines[1].ended_at - lines[0].ended_at)


def test_what_can_not_be_read_is_told_and_left_out(ran: SimulatedFederation, tmp_path: Path) -> None:
    tables = ran.deployed
    settings = msgspec.to_builtins(ran.operations.federations.get(ran.name).settings)
    settings["averaging"]["rule"] = "geometric_median"
    plan = {"round": {"S": f"{ran.name}#00000001"}, "response": {"S": "#plan"}}
    write(ran, tables.responses_table, plan, "settings", json.dumps(settings))
    response = {"round": {"S": f"{ran.name}#00000003"}, "response": {"S": "d1"}}
    write(ran, tables.responses_table, response, "report", '{"v": 2}')
    found = fetched(ran, tmp_path)
    assert found.new == 2
    assert "round 1" in found.problems[0] or "geometric_median" in found.problems[0]
    assert found.summary.left_out == {"RoundRecord": 1, "ResponseRecord": 1}
    folder = RunFolder(tmp_path)
    assert [line.round for line in folder.rounds()] == [2, 3]
    assert [(row.client, row.state) for row in folder.clients() if row.round == 3] == [
        ("d0", "accepted"),
        ("d1", "unanswered"),
    ]
    assert fetched(ran, tmp_path).summary.left_out == {"RoundRecord": 1, "ResponseRecord": 1}


def test_a_round_of_a_newer_version_is_read_without_what_is_new(ran: SimulatedFederation, tmp_path: Path) -> None:
    key = {"federation": {"S": ran.name}, "round": {"N": "1"}}
    write(ran, ran.deployed.rounds_table, key, "moon_phase", "full")
    assert fetched(ran, tmp_path).new == 3


def test_rounds_of_an_earlier_version_are_read_with_what_they_have(ran: SimulatedFederation, tmp_path: Path) -> None:
    """Which had no warnings, revisions, kept notifications or encodings of a model."""
    dynamodb, tables = ran.aws.client("dynamodb"), ran.deployed
    for table, key, attributes in (
        (
            tables.rounds_table,
            {"federation": {"S": ran.name}, "round": {"N": "1"}},
            "not_finite, warnings, vanished, expelled",
        ),
        (
            tables.responses_table,
            {"round": {"S": f"{ran.name}#00000001"}, "response": {"S": "#plan"}},
            "revision, lacking, carried",
        ),
        (
            tables.responses_table,
            {"round": {"S": f"{ran.name}#00000001"}, "response": {"S": "d0"}},
            "norm, version_id, integer_change",
        ),
    ):
        dynamodb.update_item(TableName=table, Key=key, UpdateExpression=f"REMOVE {attributes}")
    assert fetched(ran, tmp_path).new == 3
    row = next(RunFolder(tmp_path).clients())
    assert (row.client, row.state, row.norm) == ("d0", "accepted", None)


def test_a_round_that_does_not_say_when_it_ended_is_told_and_left_out(ran: SimulatedFederation, tmp_path: Path) -> None:
    key = {"federation": {"S": ran.name}, "round": {"N": "2"}}
    ran.aws.client("dynamodb").update_item(
        TableName=ran.deployed.rounds_table, Key=key, UpdateExpression="REMOVE closed_at"
    )
    found = fetched(ran, tmp_path)
    assert found.new == 2
    assert found.problems == (f"round 2 of {ran.name!r} does not say when it ended",)


def test_a_model_that_is_not_there_keeps_no_round_from_being_fetched(ran: SimulatedFederation, tmp_path: Path) -> None:
    record = ran.operations.federations.get(ran.name)
    elsewhere = Models(ran.aws.client("s3"), f"{ran.deployed.bucket}-elsewhere")
    found = fetch(record, ran.operations.rounds_reader, elsewhere, tmp_path)
    assert found.new == 3
    assert record.model.key in found.problems[0]
    assert found.summary.torch_model_missing == "there is no model"


def test_a_federation_that_was_made_anew_needs_another_folder(simulated: SimulatedFederation, tmp_path: Path) -> None:
    simulated.create(THINGS)
    fetched(simulated, tmp_path)
    record = simulated.operations.federations.get(simulated.name)
    anew = msgspec.structs.replace(record, life="0123abcd")
    operations = simulated.operations
    with pytest.raises(RunFolderExistsError, match=record.life):
        fetch(anew, operations.rounds_reader, operations.models, tmp_path)


class Waiting(Rounds):
    """Rounds that are read when so many are asked for at the same time, and not before."""

    def __init__(self, readers: int) -> None:
        self._all_there = threading.Barrier(readers)

    def of(self, federation: str, life: str, round_number: int) -> RoundRecord:
        if round_number <= self._all_there.parties:
            self._all_there.wait(60)
        return ended(round_number, federation=federation, life=life)

    def responses(self, federation: str, round_number: int) -> Responses:
        assert (federation, round_number > 0) == ("f", True)
        return Responses()


def test_rounds_are_read_side_by_side_and_few_are_in_memory() -> None:
    rounds = Waiting(readers=8)
    record = FederationRecord(
        federation="f", settings=federation(), status="running", round=50, model=ended(1).base, schema="s"
    )
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1, 51):
            asked.append(number)
            yield number

    found = read_rounds(lambda _: rounds, record, numbers())
    assert next(found).round == 1
    assert len(asked) == 8
    assert [next(found).round, next(found).round] == [2, 3]
    assert len(asked) == 10
    assert [one.round for one in found] == [*range(4, 51)]
