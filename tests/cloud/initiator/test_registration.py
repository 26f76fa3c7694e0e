"""cloud/initiator/registration.py: how much a device that says hello again and again has the initiator do."""

import json
from typing import Any

import pytest

from cloud.initiator.registration import Greeter
from operations.deployment import Deployment
from protocol import names
from protocol.messages import encode
from sandbox.embedded_aws import EmbeddedAws
from sandbox.own_services import OwnServices
from sandbox.simulated_clients import HELLO
from tests.cloud.simulated import SimulatedFederation


@pytest.fixture
def asked(aws: EmbeddedAws, deployed: Deployment) -> OwnServices:
    """The services of an execution environment."""
    return OwnServices(aws, deployed)


def body_of(federation: str, thing: str, /, **changes: Any) -> str:
    """What the topic rule makes of a hello."""
    topic = {"kind": "hello", "federation": federation, "thing": thing}
    return json.dumps(json.loads(encode(HELLO)) | topic | changes)


def test_a_hello_that_says_nothing_new_is_neither_looked_up_nor_written(
    simulated: SimulatedFederation, asked: OwnServices
) -> None:
    simulated.create([], rounds=1)
    greeter = Greeter(asked.services)
    greeter.greet(body_of(simulated.name, "d0"))
    assert asked.calls == {"GetItem": 1, "UpdateItem": 1}
    for _ in range(20):
        greeter.greet(body_of(simulated.name, "d0"))
    assert asked.calls == {"GetItem": 1, "UpdateItem": 1}
    greeter.greet(body_of(simulated.name, "d0", examples=101))
    greeter.greet(body_of(simulated.name, "d1"))
    assert asked.calls == {"GetItem": 3, "UpdateItem": 3}
    assert simulated.client("d0").examples == 101


def test_the_groups_of_a_thing_are_asked_for_once_a_minute(simulated: SimulatedFederation, asked: OwnServices) -> None:
    iot = simulated.aws.client("iot")
    iot.create_thing_group(thingGroupName=simulated.name)
    simulated.create([], rounds=1, thing_group=simulated.name)
    member, stranger = f"{simulated.name}-member", f"{simulated.name}-stranger"
    for thing in (member, stranger):
        simulated.register(thing)
    iot.add_thing_to_thing_group(thingGroupName=simulated.name, thingName=member)
    greeter = Greeter(asked.services)
    for number in range(5):
        for thing in (member, stranger):
            greeter.greet(body_of(simulated.name, thing, examples=number + 1))
    assert asked.calls["ListThingGroupsForThing"] == 2
    assert [client.thing for client in asked.operations.clients.of(simulated.name)] == [member]


@pytest.mark.parametrize(
    "changes",
    [
        {"component_version": "x" * 5_000},
        {"more": "x" * 5_000},
        {"component_version": ["1"]},
        {"federation": "no_name"},
        {"thing": "a/b"},
        {"v": 2},
        {"memory_bytes": -1},
    ],
    ids=str,
)
def test_what_is_no_hello_costs_no_call(asked: OwnServices, changes: dict[str, Any]) -> None:
    Greeter(asked.services).greet(body_of("f", "d0", **changes))
    assert asked.calls == {}


def test_the_record_of_a_client_that_has_expired_does_not_come_back(
    simulated: SimulatedFederation, asked: OwnServices
) -> None:
    Greeter(asked.services).greet(body_of(simulated.name, "d0"))
    (early,) = asked.operations.clients.of(simulated.name)
    simulated.create([], rounds=1)
    simulated.aws.client("dynamodb").delete_item(
        TableName=simulated.deployed.clients_table,
        Key={"federation": {"S": simulated.name}, "thing": {"S": "d0"}},
    )
    asked.services.clients.keep(early)
    assert asked.operations.clients.of(simulated.name) == []


def test_a_hello_after_the_federation_was_made_lets_the_record_stay(
    simulated: SimulatedFederation, asked: OwnServices
) -> None:
    greeter = Greeter(asked.services)
    greeter.greet(body_of(simulated.name, "d0"))
    assert simulated.client("d0").expires_at is not None
    simulated.create([], rounds=1)
    greeter.greet(body_of(simulated.name, "d0", examples=7))
    assert (simulated.client("d0").expires_at, simulated.client("d0").examples) == (None, 7)


def test_a_hello_of_a_component_that_does_not_tell_of_its_nucleus_is_one_all_the_same(
    simulated: SimulatedFederation,
) -> None:
    """What the topic rule makes of a field that is not there, and of one that is null."""
    simulated.create([], rounds=1)
    older = json.loads(encode(HELLO))
    del older["nucleus"]
    payload = json.dumps(older).encode()
    topic = names.hello_topic(simulated.name, "older")
    simulated.aws.client("iot-data").publish(topic=topic, qos=1, payload=payload)
    simulated.say_hello("unsure", nucleus=None)
    simulated.say_hello("newer")
    told = {thing: simulated.client(thing) for thing in ("older", "unsure", "newer")}
    assert {thing: client.nucleus for thing, client in told.items()} == {
        "older": None,
        "unsure": None,
        "newer": HELLO.nucleus,
    }
    assert {client.examples for client in told.values()} == {HELLO.examples}
