"""A record that can't be read is left out, named and counted; it keeps nothing else from going on."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cloud.state.clients import Clients
from cloud.state.federations import FederationExistsError, Federations
from cloud.state.records import CorruptRecordError
from protocol.messages import OpenRound, encode
from sandbox.embedded_aws import EmbeddedAws
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation


def change(simulated: SimulatedFederation, table: str, key: dict[str, Any], attribute: str, value: Any) -> None:
    """Write what another version might have written into an item that is there."""
    simulated.aws.client("dynamodb").update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET #attribute = :value",
        ConditionExpression=f"attribute_exists({next(iter(key))})"
        if "response" not in key
        else "attribute_exists(thing)",
        ExpressionAttributeNames={"#attribute": attribute},
        ExpressionAttributeValues={":value": {"S": value}},
    )


@pytest.fixture
def unreadable(aws: EmbeddedAws, simulated: SimulatedFederation) -> Iterator[str]:
    """The name of a federation of the same deployment whose rule this version does not know."""
    name = f"a-{simulated.name}"[:40]  # a scan may come to it before the others
    other = SimulatedFederation(aws, simulated.deployed, name)
    other.create([])
    key = {"federation": {"S": name}}
    settings = msgspec.to_builtins(other.operations.federations.get(name).settings)
    settings["averaging"]["rule"] = "geometric_median"
    change(simulated, simulated.deployed.federations_table, key, "settings", json.dumps(settings))
    yield name
    aws.client("dynamodb").delete_item(TableName=simulated.deployed.federations_table, Key=key)


def wake_until_counted(simulated: SimulatedFederation, kind: str) -> None:
    """Comes back when a wake-up has told that it left out one record of this kind. Ministack may keep an invocation's
    last lines until the same process is invoked again."""

    def counted() -> bool:
        simulated.wake()
        return {kind: 1} in unreadable_counts(simulated)

    eventually(counted, "the metrics of a wake-up")


def unreadable_counts(simulated: SimulatedFederation) -> list[dict[str, int]]:
    """What the initiator's lines say that wake-ups left out."""
    pages = simulated.aws.client("logs").get_paginator("filter_log_events")
    group = f"/fedgrass/{simulated.deployed.initiator}"
    messages = [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]
    lines = [json.loads(text) for text in messages if text.startswith('{"_aws"')]
    return [line["left_out"] for line in lines if line.get("kind") == "wake" and line["unreadable_records"]]


def test_an_unreadable_federation_keeps_no_other_from_being_watched_and_is_counted(
    simulated: SimulatedFederation, unreadable: str, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.create(["d0", "d1"], rounds=2, extension_s=0.0)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.accepted_count(1, 1)
    simulated.settled()
    simulated.set_time(1, "deadline", time.time())
    simulated.wake()
    assert simulated.ended(1).status == "closed"
    wake_until_counted(simulated, "FederationRecord")

    left_out: Counter[str] = Counter()
    federations = Federations(simulated.aws.client("dynamodb"), simulated.deployed.federations_table, left_out)
    found = {record.federation for record in federations.all()}
    assert simulated.name in found
    assert unreadable not in found
    assert left_out == {"FederationRecord": 1}
    assert "left out: FederationRecord in DynamoDB can't be read: Invalid enum value 'geometric_median'" in caplog.text
    assert f"federation '{unreadable}'" in caplog.text
    with pytest.raises(CorruptRecordError, match=unreadable):
        federations.get(unreadable)
    with pytest.raises(FederationExistsError, match=f"already a federation '{unreadable}'"):
        federations.check_free(unreadable)

    request = encode(OpenRound(federation=unreadable, round=1)).decode()
    own = encode(OpenRound(federation=simulated.name, life=simulated.life, round=2)).decode()
    assert simulated.invoke(simulated.deployed.initiator, request=request, own=own) == {"request"}
    assert simulated.opened(2).status == "open"


def test_a_round_that_can_not_be_read_keeps_no_other_federation_from_being_watched(
    aws: EmbeddedAws, simulated: SimulatedFederation
) -> None:
    broken = SimulatedFederation(aws, simulated.deployed, f"a-{simulated.name}"[:40])
    for each in (broken, simulated):
        each.create(["d0"], rounds=1, extension_s=0.0)
        each.start()
        each.opened(1)
        each.set_time(1, "deadline", time.time())
    key = {"federation": {"S": broken.name}, "round": {"N": "1"}}
    change(broken, broken.deployed.rounds_table, key, "status", "resting")
    try:
        simulated.wake()
        assert simulated.ended(1).status == "aborted"
        wake_until_counted(simulated, "RoundRecord")
    finally:
        change(broken, broken.deployed.rounds_table, key, "status", "closed")
        broken.stop()


def test_an_unreadable_client_is_not_selected_and_keeps_no_other_from_it(
    simulated: SimulatedFederation, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    key = {"federation": {"S": simulated.name}, "thing": {"S": "d0"}}
    change(simulated, simulated.deployed.clients_table, key, "missed", "often")
    simulated.start()
    assert [member.thing for member in simulated.opened(1).cohort] == ["d1"]
    left_out: Counter[str] = Counter()
    clients = Clients(simulated.aws.client("dynamodb"), simulated.deployed.clients_table, left_out)
    assert [client.thing for client in clients.of(simulated.name)] == ["d1"]
    assert left_out == {"ClientRecord": 1}
    assert "thing 'd0'" in caplog.text


def test_an_unreadable_response_keeps_the_others_from_nothing(
    simulated: SimulatedFederation, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.create(["d0", "d1", "d2"], rounds=1)
    simulated.start()
    for count, thing in enumerate(("d0", "d1"), 1):
        simulated.answer(thing, 1)
        simulated.accepted_count(1, count)
    key = {"round": {"S": f"{simulated.name}#00000001"}, "response": {"S": "d0"}}
    change(simulated, simulated.deployed.responses_table, key, "state", "doubted")
    assert [response.thing for response in simulated.responses_to(1).accepted] == ["d1"]
    assert "response 'd0'" in caplog.text
    simulated.answer("d2", 1)
    assert simulated.ended(1).status == "closed"


def test_a_model_whose_reference_has_a_field_that_this_version_does_not_know_is_trained(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=2)
    record = simulated.operations.federations.get(simulated.name)
    model = msgspec.to_builtins(record.model) | {"news": 1}
    key = {"federation": {"S": simulated.name}}
    change(simulated, simulated.deployed.federations_table, key, "model", json.dumps(model, separators=(",", ":")))
    settings = msgspec.to_builtins(record.settings) | {"news": 1}
    change(simulated, simulated.deployed.federations_table, key, "settings", json.dumps(settings))
    simulated.start()
    for number in (1, 2):
        simulated.answer("d0", number)
        assert simulated.ended(number).status == "closed"


def test_what_is_noted_of_a_federation_that_is_gone_makes_no_record(simulated: SimulatedFederation) -> None:
    dynamodb = simulated.aws.client("dynamodb")
    federations = simulated.operations.federations
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        federations.set_waiting("gone", True)
    assert "gone" not in {record.federation for record in federations.all()}
    simulated.create(["d0"])
    claimed = simulated.claim("d0")
    key = {"federation": {"S": simulated.name}, "round": {"N": "1"}}
    dynamodb.delete_item(TableName=simulated.deployed.rounds_table, Key=key)
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        simulated.operations.rounds.set_notified(claimed, {}, time.time())
    with pytest.raises(LookupError):
        simulated.round(1)
