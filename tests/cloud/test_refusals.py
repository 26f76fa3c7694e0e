"""Updates that do not count: each is recorded with its reason, and changes nothing."""

import msgspec
import numpy as np
import pytest

from protocol import names
from protocol.messages import MAX_REPORT_BYTES, encode
from sandbox.polling import eventually
from tests.cloud.examples import update_of
from tests.cloud.simulated import INITIAL, SimulatedFederation, delta


def test_each_update_that_does_not_count_is_recorded_with_its_reason_and_changes_nothing(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1", "d2", "d3", "d4"], rounds=1, target=2)
    simulated.start()
    opened = simulated.opened(1)
    simulated.put("stranger", 1, simulated.update("stranger", 1))
    simulated.put("d0", 1, b"not a tensor in sight")
    simulated.put("d1", 1, simulated.update("d1", 1, base="0" * 64))
    simulated.put("d2", 1, simulated.update("d3", 1))
    not_finite = delta(1.0) | {"w": np.full((2, 3), np.nan, "<f4")}
    simulated.put("d3", 1, update_of(not_finite, simulated.report("d3", 1)))
    simulated.put("d4", 1, update_of({"w": np.zeros((2, 3), "<f4")}, simulated.report("d4", 1)))
    assert simulated.reason("stranger", 1) == "not in cohort"
    assert simulated.reason("d0", 1).startswith("malformed: ")
    assert simulated.reason("d1", 1) == "wrong base: trained from a model with SHA-256 " + "0" * 64
    assert simulated.reason("d2", 1).startswith("sender mismatch: ")
    assert simulated.reason("d3", 1) == "non-finite: tensor 'w'"
    assert simulated.reason("d4", 1).startswith("wrong schema: tensor ")
    simulated.settled()
    record = simulated.round(1)
    assert record.refused >= 6  # more, if a message came twice
    assert msgspec.structs.replace(record, refused=0) == opened

    simulated.put("d2", 1, b"x" * 3_000_000)
    eventually(lambda: "at most" in simulated.reason("d2", 1), "the large one to be refused")

    for thing in ("d0", "d1"):  # a bad update does not spoil the good one that follows
        simulated.answer(thing, 1, value=7.0)
    assert simulated.ended(1).accepted == 2
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 7)


def test_an_update_that_was_refused_and_is_told_of_again_is_no_news(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    bad = simulated.put_early({"d0": b"not a tensor in sight"})["d0"]
    simulated.claim("d0", "d1")
    for _ in range(2):
        assert simulated.invoke(simulated.deployed.averager, one=bad, two=bad) == set()
    assert simulated.round(1).refused == 1
    assert simulated.responses(1).keys() == {("d0", "refused")}


def test_a_flood_of_updates_that_do_not_count_leaves_one_record_of_each_client(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    bad = [simulated.arrival("d0", 1, simulated.put("d0", 1, f"no tensor {n}".encode())) for n in range(30)]
    stray = [simulated.arrival("d1", 2, simulated.put("d1", 2, f"no tensor {n}".encode())) for n in range(20)]
    simulated.settled()
    simulated.claim("d0", "d1")
    flood = [*bad, *stray]
    for start in range(0, len(flood), 10):
        messages = {f"m{number}": body for number, body in enumerate(flood[start : start + 10])}
        assert simulated.invoke(simulated.deployed.averager, **messages) == set()
    assert simulated.responses(1).keys() == {("d0", "refused")}
    assert simulated.responses(0).keys() == {("d0", "refused"), ("d1", "refused")}
    assert (simulated.round(1).refused, simulated.round(1).status) == (3, "open")  # the last of each batch


def test_a_key_with_other_digits_is_no_update(simulated: SimulatedFederation) -> None:
    """Averaging would look for it under the key that it should have, and never end."""
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    key = simulated.update_key("d0", 1).replace("00000001", "0000000\u0661")
    version = simulated.put_object(key, simulated.update("d0", 1))
    assert simulated.invoke(simulated.deployed.averager, odd=simulated.arrival_of(key, version)) == set()
    simulated.settled()
    assert simulated.responses(1) == {}
    simulated.answer("d0", 1)
    assert simulated.ended(1).status == "closed"


def test_an_update_for_a_round_that_never_was_is_recorded_as_a_stray(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2)
    simulated.start()
    opened = simulated.opened(1)
    version = simulated.put("d0", 2, simulated.update("d0", 2))
    assert simulated.reason("d0", 0) == "unknown round 2"
    assert simulated.invoke(simulated.deployed.averager, early=simulated.arrival("d0", 2, version)) == set()
    assert simulated.responses(0).keys() == {("d0", "refused")}
    assert simulated.responses(2) == {}
    assert simulated.round(1) == opened
    with pytest.raises(LookupError):
        simulated.round(2)

    simulated.answer("d0", 1)
    simulated.answer("d0", 2)
    assert simulated.ended(2).accepted == 1


def test_an_update_for_a_federation_that_never_was_harms_no_one(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    key = names.update_key("never-was", 1, "d0")
    stray = simulated.arrival_of(key, simulated.put_object(key, simulated.update("d0", 1)))
    good = simulated.arrival("d0", 1, simulated.answer("d0", 1))
    assert simulated.invoke(simulated.deployed.averager, stray=stray, good=good) == set()
    assert simulated.ended(1).status == "closed"
    assert simulated.operations.rounds.responses_of("never-was", [0, 1], ["d0"]) == []  # it may make up any number


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
    simulated.claim(*things)
    assert simulated.invoke(simulated.deployed.averager, **events) == set()
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.refused) == ("closed", 1, 5)
    assert closed.metrics == {"loss_after": 1e308}  # which times its examples would be infinite
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)
    for thing in bad:
        assert len(simulated.reason(thing, 1)) <= 1000
