"""What keeps a round going does not wait behind what devices cause, nor stop at one of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.embedded_aws import EmbeddedAws
from sandbox.polling import eventually
from tests.cloud.hostile.conftest import HOSTILE, Answering, Member, Members
from tests.cloud.simulated import SimulatedFederation
from tests.conftest import Line


@contextmanager
def blocked(aws: EmbeddedAws, simulated: SimulatedFederation) -> Iterator[None]:
    """The averager hears nothing of what devices cause."""
    client = aws.client("lambda")
    (mapping,) = [
        each
        for each in client.list_event_source_mappings()["EventSourceMappings"]
        if each["EventSourceArn"].endswith(f":{simulated.deployed.updates_queue.rpartition('/')[2]}")
    ]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def test_a_round_is_aborted_whatever_stands_in_the_queue_of_updates(
    aws: EmbeddedAws, members: Members, hostile: Member
) -> None:
    members.begin(rounds=2)
    simulated = members.simulated
    with blocked(aws, simulated):
        for number in range(20):
            hostile.put(hostile.update_key(members, 1 + number), b"junk")
        assert simulated.operations.abort_round(simulated.name, "enough", limit_s=120.0).status == "aborted"
        assert simulated.opened(2).status == "open"
    simulated.settled()


def test_a_deadline_and_a_lost_lease_are_looked_at_whatever_stands_in_the_queue_of_updates(
    aws: EmbeddedAws, members: Members
) -> None:
    members.begin(deadline_s=500.0)
    simulated = members.simulated
    simulated.answer("d0", 1)
    simulated.answer("d1", 1)
    simulated.accepted_count(1, 2)
    with blocked(aws, simulated):
        simulated.set_time(1, "deadline", time.time())
        simulated.wake()
        assert simulated.ended(1).status == "closed"


@pytest.mark.parametrize(
    ("status", "code"), [("403 Forbidden", "ForbiddenException"), ("429 Too Many Requests", "ThrottlingException")]
)
def test_a_member_whose_shadow_takes_no_more_holds_neither_its_round_nor_the_next_one_up(
    members: Members, line: Line, calm: dict[str, bytes], status: str, code: str
) -> None:
    members.create(rounds=2)
    simulated = members.simulated
    path = f"/things/{HOSTILE}/shadow"
    line.fault = refusing = Answering(path, status, code, method="POST")
    simulated.start()
    opened = simulated.opened(1)
    assert HOSTILE in {member.thing for member in opened.cohort}
    assert simulated.responses_to(1).notified.keys() == {"d0", "d1", "d2"}
    told = refusing.count
    assert told > 0
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm
    assert simulated.opened(2).notified_at is not None
    eventually(lambda: refusing.count > told, "the withdrawal to be tried")
