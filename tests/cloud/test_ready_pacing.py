"""Rounds that open when enough clients have said that they are ready."""

from collections.abc import Sequence

import pytest

from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation

THINGS = ("d0", "d1", "d2")


def after_its_first_round(simulated: SimulatedFederation, things: Sequence[str] = THINGS, **pacing: object) -> None:
    """A federation whose second round waits for its time."""
    simulated.create(things, rounds=2, pacing={"policy": "when_ready", "wait_s": 5000.0} | pacing, target=1)
    simulated.start()
    simulated.answer(things[0], 1)
    simulated.ended(1)
    simulated.settled()


def tells(simulated: SimulatedFederation, thing: str, *, ready: bool) -> None:
    simulated.say_hello(thing, ready=ready)
    eventually(lambda: simulated.client(thing).ready is ready, f"what {thing} tells to be noted")


def has_opened(simulated: SimulatedFederation) -> bool:
    """Whether the second round has, after the schedule's next wake-up."""
    simulated.wake()
    simulated.settled()
    try:
        simulated.opened(2) if simulated.round(2) else None
    except LookupError:
        return False
    return True


def test_a_round_opens_at_the_wake_up_after_enough_clients_have_said_that_they_are_ready(
    simulated: SimulatedFederation,
) -> None:
    after_its_first_round(simulated, ready="60%")
    assert not has_opened(simulated), "components of earlier versions do not tell"
    tells(simulated, "d0", ready=True)
    tells(simulated, "d1", ready=True)
    tells(simulated, "d1", ready=False)
    assert not has_opened(simulated)
    waiting = simulated.delayed(simulated.deployed.rounds_queue)
    assert not has_opened(simulated)
    assert simulated.delayed(simulated.deployed.rounds_queue) <= waiting, "wake-ups do not pile up"
    tells(simulated, "d2", ready=True)
    assert has_opened(simulated)
    assert len(simulated.round(2).cohort) == 3


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


def test_who_was_expelled_is_neither_ready_nor_waited_for(simulated: SimulatedFederation) -> None:
    after_its_first_round(simulated, ready="100%")
    tells(simulated, "d0", ready=True)
    tells(simulated, "d1", ready=True)
    assert not has_opened(simulated)
    simulated.operations.federations.set_expelled(simulated.name, "d2", expelled=True)
    assert has_opened(simulated)
