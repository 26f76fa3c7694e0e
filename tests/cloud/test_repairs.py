"""What is left of an invocation that was cut off, or of a message that was lost, is found and brought to its end."""

import time

import msgspec
import numpy as np
import pytest

from cloud.state.lifecycle import Averaged, Counted, Lease, Satisfied, step
from cloud.state.records import ResponseRecord, RoundRecord
from cloud.state.rounds import KnownResponsesError, NotClaimedError, StaleRoundError
from operations import settings_update
from sandbox.gateway import Request
from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation
from tests.conftest import Line


def taken(simulated: SimulatedFederation, owner: str, until: float) -> RoundRecord:
    """What is left of an averager that was cut off right after it had taken the lease of round 1."""
    record = simulated.round(1)
    after = step(record, Satisfied(), time.time(), Lease(owner, until))
    assert after.status == "averaging"
    return simulated.operations.rounds.write(record, after)


def closed_by(owner: str, record: RoundRecord) -> RoundRecord:
    """A round whose averager found nothing to change."""
    now = time.time()
    done = Averaged(owner=owner, model=record.base, metrics={}, averaged_at=now, vanished=())
    return step(record, done, now, Lease(owner, now))


@pytest.mark.parametrize("paused", [False, True], ids=["while it runs", "while it is paused"])
def test_a_round_that_was_claimed_but_not_told_of_is_completed_by_the_next_wake_up(
    simulated: SimulatedFederation, paused: bool
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    claimed = simulated.claim("d0", "d1")
    if paused:
        simulated.operations.pause(simulated.name)
    assert simulated.desired("d0").assignment is None

    simulated.wake()
    opened = simulated.opened(1)
    assert msgspec.structs.replace(opened, notified_at=None) == claimed
    assert simulated.responses_to(1).notified.keys() == {"d0", "d1"}
    assert simulated.assignment("d1", 1).model == claimed.base
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1)
    assert simulated.ended(1).status == "closed"


def test_a_round_whose_deadline_no_message_told_of_is_ended_by_the_next_wake_up(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    simulated.answer("d0", 1, value=3.0)
    accepted = simulated.accepted_count(1, 1)
    simulated.wake()
    simulated.settled()
    assert simulated.round(1) == accepted  # nothing is due yet

    simulated.set_time(1, "deadline", time.time())
    simulated.wake()
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.vanished) == ("closed", 1, ("d1",))


def test_a_round_whose_averager_died_is_taken_over_when_its_lease_has_ended(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    first = simulated.arrival("d0", 1, simulated.answer("d0", 1, value=3.0))
    simulated.accepted_count(1, 1)
    held = taken(simulated, "dead", time.time() + 3600)

    assert simulated.invoke(simulated.deployed.averager, again=first) == set()
    simulated.wake()
    simulated.settled()
    assert simulated.round(1) == held  # its lease runs

    simulated.set_time(1, "lease_until", time.time())
    simulated.wake()
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.attempts) == ("closed", 1, 2)
    assert (closed.lease_owner, closed.lease_until) == (None, None)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 3)


def test_an_update_that_comes_again_takes_over_from_an_averager_that_died(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    first = simulated.arrival("d0", 1, simulated.answer("d0", 1))
    simulated.accepted_count(1, 1)
    taken(simulated, "dead", time.time() - 1)
    assert simulated.invoke(simulated.deployed.averager, again=first) == set()
    assert simulated.round(1).status == "closed"


def test_one_that_lost_its_lease_cannot_end_the_round(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    rounds, federations = simulated.operations.rounds, simulated.operations.federations
    record = simulated.claim("d0")
    response = ResponseRecord(thing="d0", state="accepted", arrived_at=1.0, inspected_at=1.0)
    now = time.time()
    counted = step(record, Counted(accepted=1), now, Lease("slow", now - 1))
    slow = rounds.write(record, counted, [response])
    fast = rounds.write(slow, msgspec.structs.replace(slow, lease_owner="fast", lease_until=now + 60, attempts=2))
    with pytest.raises(StaleRoundError) as stale:
        rounds.write(slow, closed_by("slow", slow), last=True)
    assert stale.value.current == fast == simulated.round(1)
    assert federations.get(simulated.name).round == 0
    assert closed_by("slow", fast) is fast

    closed = rounds.write(fast, closed_by("fast", fast), last=True)
    assert closed == simulated.round(1)
    assert (federations.get(simulated.name).status, federations.get(simulated.name).round) == ("finished", 1)
    with pytest.raises(StaleRoundError):
        rounds.write(fast, closed_by("fast", fast), last=True)


def test_a_response_that_is_on_record_is_not_counted_again(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    rounds = simulated.operations.rounds
    record = simulated.claim("d0", "d1")
    lease = Lease("me", time.time())
    failed = ResponseRecord(thing="d0", state="failed", arrived_at=1.0, inspected_at=1.0, reason="out of memory")
    record = rounds.write(record, step(record, Counted(failed=1), 0.0, lease), [failed])
    both = [msgspec.structs.replace(failed, thing=thing, state="accepted", reason=None) for thing in ("d0", "d1")]
    with pytest.raises(KnownResponsesError) as known:
        rounds.write(record, msgspec.structs.replace(record, accepted=2), both)
    assert known.value.states == {"d0": "failed"}
    assert simulated.round(1) == record
    assert simulated.responses(1) == {("d0", "failed"): msgspec.structs.replace(failed, life=record.life)}

    record = rounds.write(record, msgspec.structs.replace(record, accepted=2, failed=0), both, {"d0"})
    assert (record.accepted, record.failed, record.version) == (2, 0, 2)
    assert simulated.responses(1).keys() == {("d0", "accepted"), ("d1", "accepted")}


def test_a_round_is_claimed_once_and_only_if_it_is_next(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=3)
    claim = simulated.operations.rounds.claim
    first = simulated.claim("d0")
    second = msgspec.structs.replace(first, round=2)
    for wrong in (first, second):
        with pytest.raises(NotClaimedError):
            claim(wrong)
    simulated.operations.pause(simulated.name)
    simulated.operations.rounds.write(first, msgspec.structs.replace(first, status="aborted"))
    with pytest.raises(NotClaimedError):
        claim(second)
    simulated.operations.federations.change_status(simulated.name, "running", ("paused",))
    rolled_back = msgspec.structs.replace(second.base, sha256="0" * 64)
    with pytest.raises(NotClaimedError):
        claim(msgspec.structs.replace(second, base=rolled_back))
    claim(second)
    assert simulated.round(2) == second


@pytest.mark.parametrize("by", ["redelivery", "wake-up"])
def test_a_round_that_ended_without_asking_for_the_next_is_followed_by_it_after_a(
    simulated: SimulatedFederation, by: str
) -> None:
    simulated.create(["d0"], rounds=2)
    events = simulated.put_early({"d0": simulated.update("d0", 1)})
    record = simulated.claim("d0")
    now = time.time()
    averaging = step(msgspec.structs.replace(record, accepted=1), Satisfied(), now, Lease("cut off", now + 60))
    leased = simulated.operations.rounds.write(record, averaging)
    simulated.operations.rounds.write(leased, closed_by("cut off", leased))
    with pytest.raises(LookupError):
        simulated.round(2)
    if by == "redelivery":
        assert simulated.invoke_again(simulated.deployed.averager, **events) == set()
    else:
        simulated.wake()
    assert simulated.opened(2).base == record.base
    eventually(lambda: simulated.desired("d0").assignment, "the assignment of round 2")


def test_a_round_whose_settings_change_while_it_is_planned_opens_with_the_new_ones(
    simulated: SimulatedFederation, line: Line
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    settings = simulated.operations.federations.get(simulated.name).settings
    changed = msgspec.structs.replace(settings, rounds=2)

    def change(request: Request) -> None:
        if request.headers.get("x-amz-target", "").endswith(".TransactWriteItems"):  # this claims the round
            line.fault = None
            settings_update.apply(simulated.operations, settings_update.prepare(simulated.operations, changed))

    line.fault = change
    simulated.start()
    opened = simulated.opened(1)
    assert (opened.revision, opened.settings.rounds) == (1, 2)
