"""What comes twice, at once, early or in a bad state, and changes nothing that it should not."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from protocol.messages import CheckRound, OpenRound, encode
from tests.cloud.examples import update_of
from tests.cloud.simulated import DTYPES, INITIAL, SimulatedFederation, delta


def test_an_update_that_is_put_and_told_of_many_times_counts_once(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    versions = {simulated.answer("d0", 1, value=2.0), simulated.put("d0", 1, simulated.update("d0", 1, value=2.0))}
    simulated.accepted_count(1, 1)
    simulated.settled()
    version = simulated.responses(1)["d0", "accepted"].version_id
    assert version in versions
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
    with ThreadPoolExecutor(3) as parallel:
        calls = [parallel.submit(simulated.invoke, simulated.deployed.averager, **arrivals) for _ in range(3)]
        assert [call.result() for call in calls] == [set()] * 3
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
        f"r{number}": encode(OpenRound(federation=simulated.name, life=simulated.life, round=number)).decode()
        for number in (1, 2, 3)
    }
    assert simulated.invoke(simulated.deployed.initiator, **requests) == set()
    assert simulated.round(1) == opened
    for number in (2, 3):
        with pytest.raises(LookupError):
            simulated.round(number)


def test_a_deadline_that_comes_early_waits_and_one_that_comes_twice_changes_nothing(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], rounds=1, quorum=1, deadline_s=100.0)
    simulated.start()
    opened = simulated.opened(1)
    early = encode(CheckRound(federation=simulated.name, life=simulated.life, round=1, at=opened.deadline)).decode()
    assert simulated.invoke(simulated.deployed.averager, early=early) == set()
    assert simulated.round(1) == opened
    simulated.answer("d0", 1)
    accepted = simulated.accepted_count(1, 1)
    simulated.check(1)  # a clock that runs ahead of the averager's
    assert simulated.round(1) == accepted
    simulated.set_time(1, "deadline", time.time())
    due = encode(CheckRound(federation=simulated.name, life=simulated.life, round=1, at=time.time())).decode()
    assert simulated.invoke(simulated.deployed.averager, one=due, two=due) == set()
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 1)
    assert simulated.invoke(simulated.deployed.averager, three=due) == set()
    assert simulated.round(1) == closed


def test_a_poison_message_is_told_and_does_not_block_its_batch(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    good = simulated.arrival("d0", 1, simulated.answer("d0", 1))
    bodies = {
        "text": "hello",
        "half": '{"Records": [{}]}',
        "check": '{"kind": "check-round", "v": 1}',
        "newer": json.dumps({"kind": "check-round", "v": 2, "federation": simulated.name, "round": 1, "at": 0}),
        "other": '{"Records": []}',
        "good": good,
    }
    assert simulated.invoke(simulated.deployed.averager, **bodies) == {"text", "half", "check", "newer"}
    assert simulated.ended(1).status == "closed"

    again = encode(OpenRound(federation=simulated.name, life=simulated.life, round=1)).decode()
    failed = simulated.invoke(simulated.deployed.initiator, text="hello", again=again)
    assert failed == {"text"}


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


def test_a_mean_that_float16_cannot_hold_is_its_largest_value_with_a_warning(simulated: SimulatedFederation) -> None:
    """One client could end the rounds of all otherwise: each of its updates is within bounds, and their sum is not."""
    simulated.create(
        ["d0"],
        INITIAL | {"s": np.array(1.0, "<f2")},
        DTYPES | {"s": "F16"},
        rounds=2,
        averaging={"optimizer": {"name": "fedavgm", "learning_rate": 100.0}},
    )
    simulated.start()
    simulated.assignment("d0", 1)
    large = delta(0.0) | {"s": np.array(4000.0, "<f4")}
    simulated.put("d0", 1, update_of(large, simulated.report("d0", 1)))
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 1)
    assert "tensor 's' of the new model has values at the largest that F16 can hold: training may diverge" in (
        closed.warnings
    )
    assert simulated.current()[1]["s"] == 65_504
    simulated.answer("d0", 2, value=1.0)
    assert simulated.ended(2).status == "closed"
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 100)
