"""Hellos and outcomes: what a member says, as long, as deep and as often as it likes."""

import json
import time
from typing import Any

import pytest

from protocol import names
from protocol.messages import Outcome, encode
from sandbox.embedded_aws import EmbeddedAws
from sandbox.polling import eventually
from sandbox.simulated_clients import HELLO
from tests.cloud.hostile.conftest import HOSTILE, Member, Members
from tests.cloud.test_faults import dead_letters

DEEP = "[" * 50_000 + "]" * 50_000
HELLOS = {
    "a nested version": {"component_version": json.loads("[" * 500 + "]" * 500)},
    "a long version": {"component_version": "1" * 120_000},
    "a long architecture": {"architecture": "a" * 120_000},
    "a long number of bytes": {"memory_bytes": "9" * 120_000},
    "an empty version": {"component_version": ""},
    "a version of control characters": {"component_version": "1.0.0\n\x00"},
    "a negative number": {"cpu_count": -1},
    "examples that are a text": {"examples": "1" * 100_000},
    "examples that are nested": {"examples": json.loads("[" * 500 + "]" * 500)},
    "a nucleus that is long": {"nucleus": "lite " * 20_000},
    "a nucleus that controls a terminal": {"nucleus": "lite \x1b[2J"},
    "a nucleus that is a number": {"nucleus": 2.6},
    "a nucleus that is empty": {"nucleus": ""},
    "a long field of its own": {"more": "x" * 120_000},
}


def letters(aws: EmbeddedAws, members: Members, kind: str) -> int:
    """How many messages were given up."""
    count = "ApproximateNumberOfMessages"
    queue = dead_letters(aws, members.simulated.deployed, f"{kind}DeadLetters")
    return int(aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[count])["Attributes"][count])


@pytest.mark.parametrize("changes", HELLOS.values(), ids=HELLOS.keys())
def test_a_hello_that_is_none_is_dropped_and_changes_no_round(
    aws: EmbeddedAws, members: Members, calm: dict[str, bytes], changes: dict[str, Any]
) -> None:
    members.begin()
    before, given_up = members.simulated.client(HOSTILE), letters(aws, members, "Rounds")
    members.simulated.say_hello(HOSTILE, **changes)
    members.simulated.settled()
    after = members.simulated.client(HOSTILE)
    assert (after.component_version, after.examples) == (before.component_version, before.examples)
    assert letters(aws, members, "Rounds") == given_up
    members.answer()
    assert members.simulated.ended(1).accepted == 3
    assert members.bits() == calm


@pytest.mark.parametrize(
    "body",
    [
        f'{{"kind": "hello", "federation": "f", "thing": "t", "v": {DEEP}}}',
        f'{{"architecture": {DEEP}, "kind": "hello"}}',
        json.dumps({"kind": "hello", "component_version": "x" * 120_000}),
        '{"kind": "hello", "federation": "f", "thing": "t", "v": 1, "architecture": "\\ud800"}',
        '{"kind": "hello", "federation": "../f", "thing": "t"}',
    ],
    ids=["deep", "deep before its kind", "long", "half a character", "a name that is none"],
)
def test_a_hello_that_the_rule_let_through_is_refused_alone(members: Members, body: str) -> None:
    members.create()
    topic = {"kind": "hello", "federation": members.simulated.name, "thing": "newcomer"}
    good = json.dumps(json.loads(encode(HELLO)) | topic)
    assert members.simulated.invoke(members.simulated.deployed.initiator, bad=body, good=good) == set()
    assert members.simulated.client("newcomer").examples == HELLO.examples


def test_a_hello_to_a_federation_that_there_is_not_expires_unless_it_is_made(
    members: Members,
) -> None:
    simulated = members.simulated
    simulated.register(HOSTILE)
    simulated.say_hello(HOSTILE)
    early = simulated.client(HOSTILE)
    assert early.expires_at is not None
    assert time.time() + 6 * 86_400 < early.expires_at < time.time() + 8 * 86_400

    members.simulated.create([], rounds=1)
    simulated.start()
    assert [member.thing for member in simulated.opened(1).cohort] == [HOSTILE]
    assert simulated.client(HOSTILE).expires_at is None


@pytest.mark.parametrize(
    "report",
    [
        {"reason": "r" * 5_000},
        {"reason": {"a": {"b": []}}},
        {"reason": ["x"] * 1000},
        {"round": 10**30},
        {"round": "1" * 1000},
        {"round": [[[1]]]},
        {"phase": "failed", "epoch": "x" * 5_000},
    ],
    ids=str,
)
def test_an_outcome_of_any_shape_changes_no_round(
    aws: EmbeddedAws, members: Members, calm: dict[str, bytes], report: dict[str, Any]
) -> None:
    members.begin()
    simulated, given_up = members.simulated, letters(aws, members, "Updates")
    progress = {"round": 1, "life": simulated.life, "phase": "declined"} | report
    aws.client("iot-data").update_thing_shadow(
        thingName=HOSTILE,
        shadowName=names.shadow_name(simulated.name),
        payload=json.dumps({"state": {"reported": {"progress": progress}}}).encode(),
    )
    simulated.settled()
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert letters(aws, members, "Updates") == given_up
    assert members.bits() == calm


def test_an_outcome_that_is_nested_too_deep_is_left_alone_in_its_batch(
    members: Members, calm: dict[str, bytes]
) -> None:
    members.begin()
    simulated = members.simulated
    good = Outcome(
        thing=HOSTILE,
        shadow=names.shadow_name(simulated.name),
        life=simulated.life,
        round=1,
        phase="declined",
        reason="no",
    )
    bad = f'{{"kind": "outcome", "thing": "{HOSTILE}", "reason": {DEEP}}}'
    assert simulated.invoke(simulated.deployed.averager, bad=bad, good=encode(good).decode()) == set()
    assert simulated.round(1).failed == 1
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm


BUFFERED: dict[str, Any] = {"max_staleness": 2, "averaging": {"rule": "mean"}}


def test_of_what_a_member_sends_while_a_buffered_federation_pauses_one_waits(members: Members, hostile: Member) -> None:
    members.begin(rounds=3, **BUFFERED)
    simulated, key = members.simulated, hostile.update_key(members)
    simulated.operations.pause(simulated.name)
    initial, _ = simulated.current()
    members.answer()
    assert simulated.ended(1).accepted == 3
    waiting = simulated.delayed(simulated.deployed.updates_queue)
    for number in range(5):
        hostile.put(key, f"junk {number}".encode())
        simulated.settled()
    hostile.put(key, simulated.update(HOSTILE, 1, base=initial.sha256))
    for number in range(5):
        simulated.report_progress(HOSTILE, 1, "failed", f"reason {number}")
    simulated.settled()

    def one_of_each() -> bool:
        """What waited before comes again, finds that something newer waits, and waits no more."""
        simulated.settled()
        return simulated.delayed(simulated.deployed.updates_queue) <= waiting + 2

    eventually(one_of_each, "the older ones to be dropped")
    simulated.start()
    counted = simulated.round_with(2, "told of the member's update", lambda record: record.accepted == 1)
    assert counted.refused == 0
    simulated.stop()
