"""`thing_group`: only its members are clients, whenever they said hello, and as long as they are members."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from cloud.state.groups import Groups
from sandbox.embedded_aws import EmbeddedAws
from tests.cloud.simulated import INITIAL, SimulatedFederation

MEMBERS = ("d0", "d1")


class Group:
    """A thing group of a test's own."""

    def __init__(self, aws: EmbeddedAws, name: str) -> None:
        self.name = name
        self._iot = aws.client("iot")
        self._iot.create_thing_group(thingGroupName=name)

    def add(self, thing: str) -> None:
        self._iot.create_thing(thingName=thing)
        self._iot.add_thing_to_thing_group(thingGroupName=self.name, thingName=thing)

    def remove(self, thing: str) -> None:
        self._iot.remove_thing_from_thing_group(thingGroupName=self.name, thingName=thing)


@pytest.fixture
def group(aws: EmbeddedAws, simulated: SimulatedFederation) -> Iterator[Group]:
    found = Group(aws, f"group-of-{simulated.name}")
    for thing in MEMBERS:
        found.add(thing)
    yield found
    for thing in MEMBERS:
        found.remove(thing)


def test_who_said_hello_before_there_was_the_federation_is_no_client_unless_of_its_group(
    simulated: SimulatedFederation, group: Group
) -> None:
    simulated.say_hello("stranger")
    simulated.say_hello("d1")
    simulated.client("stranger")
    simulated.client("d1")
    simulated.create(("d0",), thing_group=group.name, rounds=1)
    simulated.start()
    assert [member.thing for member in simulated.opened(1).cohort] == ["d0", "d1"]
    simulated.put("stranger", 1, simulated.update("stranger", 1, value=1e6))
    assert simulated.reason("stranger", 1) == "not in cohort"
    for thing in MEMBERS:
        simulated.answer(thing, 1)
    assert simulated.ended(1).status == "closed"
    assert np.array_equal(simulated.current()[1]["w"], INITIAL["w"] + 1)


def test_who_leaves_the_group_is_not_counted_and_not_selected_again(
    simulated: SimulatedFederation, group: Group
) -> None:
    group.add("leaver")
    simulated.create((*MEMBERS, "leaver"), thing_group=group.name, target=2, rounds=2)
    simulated.start()
    assert len(simulated.opened(1).cohort) == 3
    group.remove("leaver")
    simulated.answer("leaver", 1, value=1e6)
    assert simulated.reason("leaver", 1) == f"not in thing group {group.name}"
    for thing in MEMBERS:
        simulated.answer(thing, 1)
    assert simulated.ended(1).status == "closed"
    assert np.array_equal(simulated.current()[1]["w"], INITIAL["w"] + 1)
    assert [member.thing for member in simulated.opened(2).cohort] == ["d0", "d1"]


def test_a_group_is_listed_once_a_minute_to_count_updates(aws: EmbeddedAws) -> None:
    group = Group(aws, "listed-once-a-minute")
    for thing in MEMBERS:
        group.add(thing)
    groups, now = Groups(lambda: aws.client("iot")), time.time()
    assert groups.recent_members(group.name, now) == {"d0", "d1"}
    group.remove("d1")
    assert groups.recent_members(group.name, now + 59) == {"d0", "d1"}
    assert groups.recent_members(group.name, now + 61) == {"d0"}
    assert groups.members("no-such-group") == frozenset()
