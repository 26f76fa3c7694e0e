"""Rounds that don't get all they asked for: extended, aborted, carried over, or over-selected from the start."""

import math
import time

import numpy as np
import pytest

from cloud.state.records import Carried
from cloud.state.rounds import ROOM_AT_END
from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1", "d2")
CARRYING = {"rule": "mean", "carry_over": True}


def test_a_round_below_quorum_is_extended_once_then_aborted_and_the_next_starts_from_the_same_model(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=2, quorum=2, extension_s=40.0)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1)
    accepted = simulated.accepted_count(1, 1)
    assert simulated.assignment("d1", 1).deadline == pytest.approx(accepted.deadline + 40)

    reached = time.time()
    simulated.reach_deadline(1)
    extended = simulated.round(1)
    assert (extended.status, extended.extended, extended.accepted) == ("open", True, 1)
    assert extended.deadline == pytest.approx(reached + 40, abs=20)
    simulated.check(1)
    assert simulated.round(1) == extended

    simulated.reach_deadline(1)
    aborted = simulated.ended(1)
    assert aborted.status == "aborted"
    assert aborted.reason == "the extended deadline was reached with 1 updates; the quorum is 2 of 3 clients"
    assert (aborted.model, aborted.vanished, aborted.carry) == (None, ("d1", "d2"), False)
    assert simulated.current()[0] == initial
    assert simulated.models_written(1) == 0
    assert [simulated.client(thing).missed for thing in THINGS] == [0, 1, 1]

    second = simulated.opened(2)
    assert (second.base, second.carried) == (initial, ())
    eventually(
        lambda: [simulated.desired(thing).withdrawn for thing in THINGS] == [None, 1, 1], "round 1 to be withdrawn"
    )
    for thing in THINGS:
        simulated.answer(thing, 2, value=5.0)
    assert simulated.ended(2).status == "closed"
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 5)  # without the update of round 1


def test_an_update_that_comes_in_the_extension_saves_the_round(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, quorum=2, extension_s=40.0)
    simulated.start()
    simulated.answer("d0", 1, value=1.0)
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    simulated.answer("d2", 1, value=3.0)
    assert simulated.accepted_count(1, 2).status == "open"  # it may still get its target
    simulated.reach_deadline(1)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.vanished) == ("closed", 2, ("d1",))
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)


def test_without_an_extension_the_deadline_is_the_end(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, quorum="100%", extension_s=0.0)
    simulated.start()
    simulated.answer("d0", 1)
    accepted = simulated.accepted_count(1, 1)
    assert simulated.assignment("d1", 1).deadline == accepted.deadline
    simulated.reach_deadline(1)
    aborted = simulated.ended(1)
    assert (aborted.status, aborted.extended) == ("aborted", False)
    assert aborted.reason == "the deadline was reached with 1 updates; the quorum is 3 of 3 clients"


def test_updates_of_an_aborted_round_count_in_the_next_one_at_less_weight(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=2, quorum=2, extension_s=0.0, averaging=CARRYING)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1, value=8.0)
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    assert simulated.ended(1).carry

    second = simulated.opened(2)
    assert second.base == initial
    assert second.carried == (Carried(thing="d0", round=1, age=1),)
    assert (second.accepted, second.quorum, second.target) == (0, 2, 3)  # it doesn't count towards these
    simulated.answer("d1", 2, value=1.0)
    simulated.answer("d2", 2, value=2.0)
    simulated.accepted_count(2, 2)
    simulated.reach_deadline(2)
    closed = simulated.ended(2)
    assert (closed.status, closed.accepted) == ("closed", 2)
    late = 1 / math.sqrt(2)
    mean = (8.0 * late + 1.0 + 2.0) / (late + 2)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + mean, rtol=1e-6)


def test_carried_updates_age_and_a_newer_one_of_the_same_client_takes_their_place(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=3, quorum=2, extension_s=0.0, averaging=CARRYING)
    simulated.start()
    simulated.answer("d0", 1, value=8.0)
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    simulated.answer("d1", 2, value=6.0)
    simulated.accepted_count(2, 1)
    simulated.reach_deadline(2)
    third = simulated.opened(3)
    assert third.carried == (Carried(thing="d0", round=1, age=2), Carried(thing="d1", round=2, age=1))
    simulated.answer("d1", 3, value=1.0)
    simulated.answer("d2", 3, value=2.0)
    simulated.accepted_count(3, 2)
    simulated.reach_deadline(3)
    closed = simulated.ended(3)
    assert (closed.status, closed.accepted) == ("closed", 2)
    old = 1 / math.sqrt(3)
    mean = (8.0 * old + 1.0 + 2.0) / (old + 2)  # d1's newer update takes the place of its carried one
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + mean, rtol=1e-6)


def test_carried_updates_make_no_quorum(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:2], rounds=2, quorum=2, extension_s=0.0, averaging=CARRYING)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    simulated.answer("d1", 2)
    simulated.accepted_count(2, 1)
    assert len(simulated.round(2).carried) == 1
    simulated.reach_deadline(2)
    assert simulated.ended(2).reason == "the deadline was reached with 1 updates; the quorum is 2 of 2 clients"


def test_updates_of_a_round_that_an_operator_aborted_are_not_carried_over(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=2, averaging=CARRYING)
    simulated.start()
    simulated.answer("d0", 1, value=1000.0)
    simulated.accepted_count(1, 1)
    simulated.abort(1, "bad data")
    assert not simulated.ended(1).carry
    assert simulated.opened(2).carried == ()


def test_more_clients_are_selected_than_asked_for_when_some_are_expected_to_drop_out(
    simulated: SimulatedFederation,
) -> None:
    things = [f"d{number}" for number in range(6)]
    selection = {"policy": "random", "cohort": 3, "dropout": 0.4}
    simulated.create(things, rounds=1, selection=selection, target="100%", quorum="60%")
    simulated.start()
    opened = simulated.opened(1)
    assert len(opened.cohort) == 5
    assert (opened.target, opened.quorum) == (3, 2)
    cohort = [member.thing for member in opened.cohort]
    for thing in cohort[:3]:
        simulated.answer(thing, 1)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.vanished) == ("closed", 3, ())
    eventually(
        lambda: [simulated.desired(thing).withdrawn for thing in cohort[3:]] == [1, 1], "the others to be withdrawn"
    )


def test_a_round_whose_own_pace_has_not_come_is_not_opened_by_a_wake_up_or_a_start(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=3, pacing={"policy": "fixed_rate", "interval_s": 5000.0})
    simulated.start()
    simulated.answer("d0", 1)
    first = simulated.ended(1)
    assert first.next_at == pytest.approx(first.opened_at + 5000)
    federation = simulated.operations.federations.get(simulated.name)
    assert federation.next_at == first.next_at
    simulated.wake()
    simulated.start()
    simulated.settled()
    with pytest.raises(LookupError):
        simulated.round(2)
    simulated.bring_next_round_forward()
    simulated.wake()
    assert simulated.opened(2).base == first.model


def test_wake_ups_before_its_time_don_t_pile_up_requests_for_a_round(simulated: SimulatedFederation) -> None:
    """Each would be sent on to itself until then."""
    simulated.create(["d0"], rounds=2, pacing={"policy": "fixed_rate", "interval_s": 5000.0})
    simulated.start()
    simulated.answer("d0", 1)
    simulated.ended(1)
    simulated.settled()
    waiting = simulated.delayed(simulated.deployed.rounds_queue)
    assert waiting > 0
    for _ in range(3):
        simulated.wake()
    simulated.settled()
    assert simulated.delayed(simulated.deployed.rounds_queue) <= waiting


def test_updates_to_a_model_that_was_rolled_back_are_not_carried_over(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3, quorum=2, target=2, extension_s=0.0, averaging=CARRYING)
    simulated.start()
    for thing in THINGS[:2]:
        simulated.answer(thing, 1)
    simulated.ended(1)
    simulated.answer("d0", 2)
    simulated.accepted_count(2, 1)
    simulated.operations.pause(simulated.name)
    simulated.reach_deadline(2)
    assert simulated.ended(2).carry
    simulated.operations.roll_back(simulated.name, 0)
    simulated.start()
    assert simulated.opened(3).carried == ()


def test_an_aborted_round_is_followed_at_the_same_pace(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2, pacing={"policy": "fixed_rate", "interval_s": 5000.0}, extension_s=0.0)
    simulated.start()
    simulated.opened(1)
    simulated.reach_deadline(1)
    aborted = simulated.ended(1)
    assert aborted.next_at == pytest.approx(aborted.opened_at + 5000)
    simulated.wake()
    simulated.settled()
    with pytest.raises(LookupError):
        simulated.round(2)


@pytest.mark.parametrize("quorum", [1, 2], ids=["closed", "aborted"])
def test_a_round_of_more_clients_than_fit_into_one_transaction_teaches_something_about_each(
    simulated: SimulatedFederation, quorum: int
) -> None:
    things = [f"many-{number:03d}" for number in range(ROOM_AT_END + 10)]
    simulated.create(things, rounds=1, quorum=quorum, extension_s=0.0)
    simulated.claim(*things)
    simulated.put(things[0], 1, simulated.update(things[0], 1))
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    assert simulated.ended(1).status == ("closed" if quorum == 1 else "aborted")
    missed = {client.thing: client.missed for client in simulated.operations.clients.of(simulated.name)}
    assert missed == dict.fromkeys(things, 1) | {things[0]: 0}
