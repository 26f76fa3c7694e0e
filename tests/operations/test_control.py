"""What an operator does with a federation: pause, start again, abort a round, roll back."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from cloud.state.federations import UnknownFederationError, WrongStatusError
from cloud.state.lifecycle import Averaged, Lease, Satisfied, step
from cloud.state.rounds import UnknownRoundError
from operations.control import NoModelError, NoRoundError, Operations, RoundUnderWayError
from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1")


@pytest.mark.parametrize(
    "act",
    [
        lambda operations: operations.start("nowhere"),
        lambda operations: operations.pause("nowhere"),
        lambda operations: operations.abort_round("nowhere", "why not"),
        lambda operations: operations.roll_back("nowhere", 0),
    ],
    ids=["start", "pause", "abort", "roll back"],
)
def test_a_federation_that_is_not_there_is_named(
    simulated: SimulatedFederation, act: Callable[[Operations], object]
) -> None:
    simulated.create([])
    with pytest.raises(UnknownFederationError, match="no federation 'nowhere'"):
        act(simulated.operations)


def test_a_paused_federation_ends_its_round_and_opens_no_other_until_it_is_started_again(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=3)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.accepted_count(1, 1)
    assert simulated.operations.pause(simulated.name).status == "paused"
    assert simulated.operations.pause(simulated.name).status == "paused"
    simulated.answer("d1", 1)
    first = simulated.ended(1)
    assert first.status == "closed"
    assert simulated.current()[0] == first.model
    simulated.wake()
    simulated.say_hello("d0", component_version="2.0.0")
    eventually(lambda: simulated.client("d0").component_version == "2.0.0", "the hello to be noted")
    simulated.settled()
    with pytest.raises(LookupError):
        simulated.round(2)

    record = simulated.operations.start(simulated.name)
    assert (record.status, record.round) == ("running", 1)
    assert simulated.operations.start(simulated.name).status == "running"  # twice is once
    assert simulated.opened(2).base == first.model


def test_the_deadline_of_a_paused_federations_round_still_comes(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3, extension_s=0.0)
    simulated.start()
    simulated.opened(1)
    simulated.operations.pause(simulated.name)
    simulated.set_time(1, "deadline", time.time())
    simulated.wake()
    assert simulated.ended(1).status == "aborted"
    assert simulated.operations.federations.get(simulated.name).status == "paused"


def test_only_what_runs_can_be_paused_and_what_has_finished_does_not_start_again(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS[:1], rounds=1)
    with pytest.raises(WrongStatusError, match=rf"'{simulated.name}' is ready; it would have to be running or paused"):
        simulated.operations.pause(simulated.name)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.ended(1)
    with pytest.raises(
        WrongStatusError, match="is finished; it would have to be ready or running or paused"
    ) as refused:
        simulated.operations.start(simulated.name)
    (remedy,) = refused.value.__notes__
    assert remedy.startswith("it has had its last round, 1: raise `rounds` in federation.yaml, give `fedgrass update`")
    with pytest.raises(WrongStatusError, match="is finished; it would have to be running or paused"):
        simulated.operations.pause(simulated.name)
    assert simulated.operations.federations.get(simulated.name).status == "finished"


def test_a_paused_federation_whose_last_round_ends_has_finished(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=1)
    simulated.start()
    simulated.assignment("d0", 1)
    simulated.operations.pause(simulated.name)
    simulated.answer("d0", 1)
    simulated.ended(1)
    assert simulated.operations.federations.get(simulated.name).status == "finished"


# ---- Abort


def test_an_open_round_that_is_aborted_makes_no_model_and_the_next_opens(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=2)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1)
    simulated.accepted_count(1, 1)
    aborted = simulated.operations.abort_round(simulated.name, "the labels were wrong")
    assert (aborted.status, aborted.reason, aborted.model) == ("aborted", "the labels were wrong", None)
    assert aborted.vanished == ()
    second = simulated.opened(2)
    assert second.base == initial
    assert simulated.client("d1").missed == 0
    eventually(lambda: simulated.desired("d1").withdrawn == 1, "d1's assignment to be withdrawn")
    simulated.put("d1", 1, simulated.update("d1", 1))
    assert simulated.reason("d1", 1) == "late: the round is aborted"


def test_a_round_that_is_being_averaged_can_be_aborted_and_its_averager_changes_nothing_any_more(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=1)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1)
    record = simulated.accepted_count(1, 1)
    now = time.time()
    averaging = simulated.operations.rounds.write(record, step(record, Satisfied(), now, Lease("other", now + 3600)))
    aborted = simulated.operations.abort_round(simulated.name, "it takes too long")
    assert (aborted.status, aborted.reason, aborted.lease_owner) == ("aborted", "it takes too long", None)
    done = Averaged(owner="other", model=initial, metrics={}, averaged_at=now, vanished=())
    assert step(averaging, done, now, Lease("other", now)).status == "closed"
    assert step(aborted, done, now, Lease("other", now)) is aborted
    assert simulated.current()[0] == initial
    assert simulated.operations.federations.get(simulated.name).status == "finished"


def test_where_no_round_is_under_way_there_is_none_to_abort(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=1)
    with pytest.raises(NoRoundError, match=rf"no round of '{simulated.name}' is under way: the last one was 0"):
        simulated.operations.abort_round(simulated.name, "why not")
    simulated.start()
    simulated.answer("d0", 1)
    closed = simulated.ended(1)
    with pytest.raises(NoRoundError, match="is under way: the last one was 1"):
        simulated.operations.abort_round(simulated.name, "too late")
    assert simulated.round(1) == closed


def test_an_abort_that_comes_after_the_end_changes_nothing(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=1)
    simulated.start()
    simulated.answer("d0", 1)
    closed = simulated.ended(1)
    simulated.abort(1, "too late")
    assert simulated.round(1) == closed


# ---- Roll back


def test_the_next_round_starts_from_the_model_that_was_rolled_back_to(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=5)
    initial, _ = simulated.current()
    simulated.start()
    for number in (1, 2):
        simulated.answer("d0", number, value=1.0)
        simulated.ended(number)
    simulated.opened(3)
    with pytest.raises(RoundUnderWayError, match=rf"round 3 of '{simulated.name}' is open: wait for its end, or abort"):
        simulated.operations.roll_back(simulated.name, 1)
    simulated.operations.pause(simulated.name)
    with pytest.raises(RoundUnderWayError):
        simulated.operations.roll_back(simulated.name, 1)
    simulated.operations.abort_round(simulated.name, "to roll back")

    with pytest.raises(NoModelError, match=r"round 3 of .* made no model: it is aborted"):
        simulated.operations.roll_back(simulated.name, 3)
    with pytest.raises(UnknownRoundError, match="has no round 4"):
        simulated.operations.roll_back(simulated.name, 4)
    second = simulated.round(2).model
    assert simulated.current()[0] == second
    rolled = simulated.operations.roll_back(simulated.name, 1)
    assert (rolled.model, rolled.round, rolled.status) == (simulated.round(1).model, 3, "paused")
    assert simulated.operations.roll_back(simulated.name, 2).model == second  # which can be rolled back itself
    assert simulated.operations.roll_back(simulated.name, 0).model == initial

    simulated.start()
    fourth = simulated.opened(4)
    assert fourth.base == initial
    simulated.answer("d0", 4, value=10.0)
    assert simulated.ended(4).status == "closed"
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 10)
    assert simulated.opened(5).base == simulated.round(4).model


def test_a_federation_that_runs_is_not_rolled_back(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=3, pacing={"policy": "fixed_rate", "interval_s": 5000.0})
    simulated.start()
    simulated.answer("d0", 1)
    closed = simulated.ended(1)
    with pytest.raises(WrongStatusError, match=rf"'{simulated.name}' runs, .*: pause it, and try again"):
        simulated.operations.roll_back(simulated.name, 0)
    assert simulated.current()[0] == closed.model


def test_a_federation_that_has_had_no_round_is_rolled_back_to_where_it_is(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=1)
    initial, _ = simulated.current()
    assert simulated.operations.roll_back(simulated.name, 0).model == initial
    with pytest.raises(UnknownRoundError, match="has no round 1"):
        simulated.operations.roll_back(simulated.name, 1)


def test_a_finished_federation_can_be_rolled_back(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:1], rounds=1)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1)
    simulated.ended(1)
    assert simulated.operations.roll_back(simulated.name, 0).model == initial
