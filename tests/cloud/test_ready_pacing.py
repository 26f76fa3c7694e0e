"""Rounds that open when enough clients have said that they are ready."""

import time

import pytest

from cloud.initiator.readiness import are_ready
from sandbox.own_services import OwnServices
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation

THINGS = ("d0", "d1", "d2")


def tells(simulated: SimulatedFederation, thing: str, *, ready: bool) -> None:
    simulated.say_hello(thing, ready=ready)
    eventually(lambda: simulated.client(thing).ready is ready, f"what {thing} tells to be noted")


def is_time(simulated: SimulatedFederation) -> bool:
    """Whether the next round need not wait, by whatever the initiator finds in its tables."""
    own = OwnServices(simulated.aws, simulated.deployed)
    return are_ready(own.services, own.operations.federations.get(simulated.name), time.time())


def test_a_round_opens_at_the_wake_up_after_enough_clients_have_said_that_they_are_ready(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=2, pacing={"policy": "when_ready", "ready": "60%", "wait_s": 5000.0}, target=1)
    simulated.start()
    simulated.answer("d0", 1)
    first = simulated.ended(1)
    assert not is_time(simulated), "components of earlier versions do not tell"
    tells(simulated, "d0", ready=True)
    tells(simulated, "d1", ready=True)
    tells(simulated, "d1", ready=False)
    assert not is_time(simulated)
    simulated.wake()
    with pytest.raises(LookupError):
        simulated.round(2)
    tells(simulated, "d2", ready=True)
    assert is_time(simulated)
    simulated.wake()
    second = simulated.opened(2)
    assert second.opened_at < (first.next_at or 0.0)
    assert len(second.cohort) == 3


def test_a_round_opens_at_once_if_enough_clients_are_ready_when_the_last_one_ends(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS[:1], rounds=2, pacing={"policy": "when_ready", "ready": 1, "wait_s": 5000.0})
    tells(simulated, "d0", ready=True)
    simulated.start()
    simulated.answer("d0", 1)
    assert simulated.opened(2).opened_at < simulated.ended(1).opened_at + 5000


def test_a_round_waits_no_longer_than_it_may(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=2, pacing={"policy": "when_ready", "ready": 1, "wait_s": 2.0})
    simulated.start()
    simulated.answer("d0", 1)
    first = simulated.ended(1)
    assert first.next_at == pytest.approx((first.closed_at or 0.0) + 2.0)
    assert simulated.opened(2).opened_at >= (first.next_at or 0.0)


def test_who_was_expelled_or_has_left_the_group_is_neither_ready_nor_waited_for(
    simulated: SimulatedFederation,
) -> None:
    iot = simulated.aws.client("iot")
    iot.create_thing_group(thingGroupName=simulated.name)
    things = [f"{simulated.name}-{thing}" for thing in THINGS]
    pacing = {"policy": "when_ready", "ready": "100%"}
    simulated.create(things, thing_group=simulated.name, pacing=pacing)
    for thing in things[:2]:
        iot.add_thing_to_thing_group(thingGroupName=simulated.name, thingName=thing)
    tells(simulated, things[0], ready=True)
    assert not is_time(simulated)
    simulated.expel(things[1])
    assert is_time(simulated)
