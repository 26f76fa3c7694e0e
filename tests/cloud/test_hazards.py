"""What goes wrong in a round on the embedded AWS, by accident or on purpose, and what it changes: nothing."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from cloud.averager.inspection import MAX_REPORT_BYTES
from cloud.settings import amount_of
from cloud.state.rounds import RoundMovedOnError
from protocol import names
from protocol.messages import DeadlineReached, OpenRound, encode
from tests.cloud.examples import round_record, update_of
from tests.cloud.simulated import INITIAL, SimulatedFederation, delta, eventually, invoke

# ---- Twice


def test_an_update_that_is_put_and_told_of_many_times_counts_once(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    version = simulated.answer("d0", 1, value=2.0)
    simulated.put("d0", 1, simulated.update("d0", 1, value=2.0))
    simulated.accepted_count(1, 1)
    simulated.settled()
    arrival = simulated.arrival("d0", 1, version)
    assert simulated.invoke(simulated.deployed.averager, one=arrival, two=arrival) == set()
    assert (simulated.round(1).accepted, simulated.round(1).status) == (1, "open")

    simulated.answer("d1", 1, value=4.0)
    closed = simulated.ended(1)
    assert (closed.accepted, closed.refused) == (2, 0)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 3)

    assert simulated.invoke(simulated.deployed.averager, late=arrival) == set()
    assert simulated.round(1) == closed  # it is known: neither counted again nor refused
    assert simulated.models_written(1) == 1


def test_an_update_that_is_overwritten_after_its_inspection_is_averaged_as_it_was(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    version = simulated.answer("d0", 1, value=1.0)
    simulated.accepted_count(1, 1)
    simulated.put("d0", 1, simulated.update("d0", 1, value=1000.0))
    simulated.put("d0", 1, b"and then something else")
    simulated.settled()
    simulated.answer("d1", 1, value=1.0)
    assert simulated.ended(1).accepted == 2
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 1)
    assert simulated.responses(1)["d0", "accepted"].version_id == version


def test_many_invocations_at_once_average_once(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=2)
    simulated.start()
    arrivals = {thing: simulated.arrival(thing, 1, simulated.answer(thing, 1, value=1.0)) for thing in ("d0", "d1")}
    with ThreadPoolExecutor(4) as parallel:
        calls = [parallel.submit(simulated.invoke, simulated.deployed.averager, **arrivals) for _ in range(4)]
        assert [call.result() for call in calls] == [set()] * 4
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.refused) == ("closed", 2, 0)
    assert simulated.models_written(1) == 1
    assert simulated.opened(2).base == closed.model
    simulated.settled()
    assert simulated.operations.federations.get(simulated.name).round == 1


def test_asking_for_a_round_again_and_again_opens_it_once(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=3)
    simulated.start()
    opened = simulated.opened(1)
    requests = {
        f"r{number}": encode(OpenRound(federation=simulated.name, round=number)).decode() for number in (1, 2, 3)
    }
    assert simulated.invoke(simulated.deployed.initiator, **requests) == set()
    assert simulated.round(1) == opened
    for number in (2, 3):
        with pytest.raises(LookupError):
            simulated.round(number)


# ---- What does not count


def test_each_update_that_does_not_count_is_recorded_with_its_reason_and_changes_nothing(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1", "d2", "d3"], rounds=1, target=2)
    simulated.start()
    simulated.opened(1)
    simulated.put("stranger", 1, simulated.update("stranger", 1))
    simulated.put("d0", 1, b"not a tensor in sight")
    simulated.put("d1", 1, simulated.update("d1", 1, base="0" * 64))
    simulated.put("d2", 1, simulated.update("d3", 1))
    not_finite = delta(1.0) | {"w": np.full((2, 3), np.nan, "<f4")}
    simulated.put("d3", 1, update_of(not_finite, simulated.report("d3", 1)))
    assert simulated.reason("stranger", 1) == "not in cohort"
    assert simulated.reason("d0", 1).startswith("malformed: ")
    assert simulated.reason("d1", 1) == "wrong base: trained from a model with SHA-256 " + "0" * 64
    assert simulated.reason("d2", 1).startswith("sender mismatch: ")
    assert simulated.reason("d3", 1) == "non-finite: tensor 'w'"
    simulated.settled()
    record = simulated.round(1)
    assert (record.status, record.accepted, record.refused) == ("open", 0, 5)

    simulated.put("d2", 1, b"x" * 3_000_000)
    eventually(lambda: "at most" in simulated.reason("d2", 1), "the large one to be refused")

    for thing in ("d0", "d1"):  # a bad update does not spoil the good one that follows
        simulated.answer(thing, 1, value=7.0)
    assert simulated.ended(1).accepted == 2
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 7)


def test_a_key_with_other_digits_is_no_update(simulated: SimulatedFederation) -> None:
    """Averaging would look for it under the key that it should have, and never end."""
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    key = names.update_key(simulated.name, 1, "d0").replace("00000001", "0000000\u0661")
    version = simulated.put_object(key, simulated.update("d0", 1))
    assert simulated.invoke(simulated.deployed.averager, odd=simulated.arrival_of(key, version)) == set()
    simulated.settled()
    assert simulated.responses(1) == {}
    simulated.answer("d0", 1)
    assert simulated.ended(1).status == "closed"


def test_an_update_for_a_round_that_never_was_changes_nothing(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2)
    simulated.start()
    simulated.opened(1)
    version = simulated.put("d0", 2, simulated.update("d0", 1, round=2))
    assert simulated.invoke(simulated.deployed.averager, early=simulated.arrival("d0", 2, version)) == set()
    assert simulated.responses(2) == {}
    with pytest.raises(LookupError):
        simulated.round(2)


def test_what_one_device_makes_up_does_not_hold_up_the_others_of_its_batch(simulated: SimulatedFederation) -> None:
    things = ["d0", "d1", "d2", "d3", "d4", "d5"]
    simulated.create(things, rounds=1, target=1)
    endless = encode(simulated.report("d3", 1)).replace(b'"examples":10', b'"examples":1' + b"0" * 400)
    bad = {
        "d0": simulated.update("d0", 1, describe={"x" * (MAX_REPORT_BYTES * 8): 1.0}),
        "d1": update_of(delta(1.0) | {"w" * 500_000: np.zeros(1, "<f4")}, simulated.report("d1", 1)),
        "d2": update_of(delta(1.0), b"[" * 60_000),
        "d3": update_of(delta(1.0), endless),
        "d4": simulated.update("d4", 1, federation="f" * 60_000),
    }
    good = {"d5": simulated.update("d5", 1, value=2.0, after={"loss": 1e308})}
    events = simulated.put_early(bad | good)
    claim_round(simulated, *things)
    assert simulated.invoke(simulated.deployed.averager, **events) == set()
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.refused) == ("closed", 1, 5)
    assert closed.metrics == {}  # what is too large to be averaged can't be recorded
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)
    for thing in bad:
        assert len(simulated.reason(thing, 1)) <= 1000


def test_a_poison_message_is_told_and_does_not_block_its_batch(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    good = simulated.arrival("d0", 1, simulated.answer("d0", 1))
    bodies = {
        "text": "hello",
        "half": '{"Records": [{}]}',
        "deadline": '{"kind": "deadline", "v": 1}',
        "newer": json.dumps({"kind": "deadline", "v": 2, "federation": simulated.name, "round": 1}),
        "other": '{"Records": []}',
        "good": good,
    }
    assert simulated.invoke(simulated.deployed.averager, **bodies) == {"text", "half", "deadline", "newer"}
    assert simulated.ended(1).status == "closed"

    unknown = encode(OpenRound(federation="no-such-federation", round=1)).decode()
    again = encode(OpenRound(federation=simulated.name, round=1)).decode()
    failed = simulated.invoke(simulated.deployed.initiator, text="hello", unknown=unknown, again=again)
    assert failed == {"text", "unknown"}


def test_a_client_that_was_never_registered_keeps_no_one_from_being_told(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1, target=2)
    iot = simulated.aws.client("iot")
    iot.create_thing(thingName="short-lived")
    simulated.say_hello("short-lived")
    simulated.client("short-lived")
    iot.delete_thing(thingName="short-lived")
    simulated.start()
    assert len(simulated.opened(1).cohort) == 3
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1)
    assert simulated.ended(1).status == "closed"


# ---- What can't be averaged


def test_a_round_whose_mean_no_model_can_hold_is_aborted_and_the_next_goes_on(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2)
    initial, _ = simulated.current()
    simulated.start()
    simulated.assignment("d0", 1)
    largest = float(np.finfo(np.float32).max)
    huge = delta(0.0) | {"s": np.array(largest, "<f4")}  # finite, but bfloat16 ends earlier
    simulated.put("d0", 1, update_of(huge, simulated.report("d0", 1)))
    aborted = simulated.ended(1)
    assert (aborted.status, aborted.accepted) == ("aborted", 1)
    assert aborted.reason == "averaging failed: tensor 's' has values that BF16 can't hold"
    assert simulated.current()[0] == initial
    simulated.answer("d0", 2, value=1.0)
    assert simulated.ended(2).status == "closed"
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 1)


# ---- Cut off


def test_a_round_that_was_claimed_but_not_told_of_is_completed_by_the_next_wake_up(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    claimed = claim_round(simulated, "d0", "d1")
    assert simulated.desired("d0").assignment is None

    invoke(simulated.aws, simulated.deployed.initiator, {"kind": "wake"})
    opened = simulated.opened(1)
    assert opened.opened_at == pytest.approx(claimed)
    assert (opened.notified or {}).keys() == {"d0", "d1"}
    assert simulated.assignment("d1", 1).deadline == opened.deadline
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1)
    assert simulated.ended(1).status == "closed"


def claim_round(simulated: SimulatedFederation, *things: str) -> float:
    """What is left of an initiator that was cut off right after it had claimed round 1; returns when that was."""
    simulated.operations.federations.set_status(simulated.name, "running")
    federation = simulated.operations.federations.get(simulated.name)
    now = time.time()
    record = msgspec.structs.replace(
        round_record(*things),
        federation=simulated.name,
        settings=federation.settings,
        base=federation.model,
        schema=federation.schema,
        target=amount_of(federation.settings.target, len(things)),
        quorum=amount_of(federation.settings.quorum, len(things)),
        opened_at=now,
        deadline=now + federation.settings.deadline_s,
    )
    simulated.operations.rounds.claim(record)
    return now


def test_a_round_whose_averager_died_is_taken_over_when_its_lease_has_ended(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1, target=2)
    simulated.start()
    first = simulated.arrival("d0", 1, simulated.answer("d0", 1, value=3.0))
    simulated.accepted_count(1, 1)
    now = time.time()
    simulated.operations.rounds.lease(simulated.name, 1, 1, "dead", now, now + 3600)

    assert simulated.invoke(simulated.deployed.averager, again=first) == set()
    held = simulated.round(1)
    assert (held.status, held.lease_owner) == ("averaging", "dead")  # its lease runs

    simulated.operations.rounds.release(held)
    simulated.reach_deadline(1)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 1)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 3)


def test_one_that_lost_its_lease_cannot_end_the_round(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1, target=1)
    claim_round(simulated, "d0")
    rounds = simulated.operations.rounds
    now = time.time()
    slow = rounds.lease(simulated.name, 1, 0, "slow", now, now - 1)
    fast = rounds.lease(simulated.name, 1, 0, "fast", now, now + 60)
    model = simulated.current()[0]
    with pytest.raises(RoundMovedOnError):
        rounds.end(msgspec.structs.replace(slow, status="closed", model=model, closed_at=now), last=True)
    assert simulated.round(1).status == "averaging"
    assert simulated.operations.federations.get(simulated.name).round == 0
    rounds.end(msgspec.structs.replace(fast, status="closed", model=model, closed_at=now), last=True)
    with pytest.raises(RoundMovedOnError):
        rounds.lease(simulated.name, 1, 0, "late", now, now + 60)
    assert simulated.operations.federations.get(simulated.name).status == "finished"


def test_a_round_that_ended_without_asking_for_the_next_is_followed_by_it_after_a_redelivery(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=2)
    events = simulated.put_early({"d0": simulated.update("d0", 1)})
    claim_round(simulated, "d0")
    now = time.time()
    leased = simulated.operations.rounds.lease(simulated.name, 1, 0, "cut off", now, now + 60)
    closed = msgspec.structs.replace(leased, status="closed", model=leased.base, closed_at=now)
    simulated.operations.rounds.end(closed, last=False)
    with pytest.raises(LookupError):
        simulated.round(2)
    assert simulated.invoke(simulated.deployed.averager, **events) == set()
    assert simulated.opened(2).status == "open"


def test_a_deadline_that_comes_early_waits_and_one_that_comes_twice_changes_nothing(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], rounds=1, quorum=1, deadline_s=100.0)
    simulated.start()
    opened = simulated.opened(1)
    early = encode(DeadlineReached(federation=simulated.name, round=1, deadline=opened.deadline)).decode()
    assert simulated.invoke(simulated.deployed.averager, early=early) == set()
    assert simulated.round(1).status == "open"
    simulated.answer("d0", 1)
    simulated.accepted_count(1, 1)
    due = encode(DeadlineReached(federation=simulated.name, round=1, deadline=time.time() - 1)).decode()
    assert simulated.invoke(simulated.deployed.averager, one=due, two=due) == set()
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 1)
    assert simulated.invoke(simulated.deployed.averager, three=due) == set()
    assert simulated.round(1) == closed
