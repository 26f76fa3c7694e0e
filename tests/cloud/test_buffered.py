"""Buffered asynchronous federations: rounds that close while slow devices train on, whose updates count later."""

import math
from typing import Any

import numpy as np

from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ["d0", "d1", "d2", "d3"]
BUFFERED: dict[str, Any] = {"max_staleness": 1, "averaging": {"rule": "mean"}, "deadline_s": 600.0, "extension_s": 60.0}


def test_the_update_of_a_slow_device_counts_in_a_later_round_at_less_weight(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:3], rounds=2, target=2, **BUFFERED)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1, value=1.0)
    simulated.answer("d1", 1, value=3.0)
    assert simulated.ended(1).vanished == ()

    second = simulated.opened(2)
    assert second.base != initial
    assert [(member.thing, member.assigned_in) for member in second.cohort] == [("d0", None), ("d1", None), ("d2", 1)]
    assigned = simulated.desired("d2")
    assert assigned.assignment is not None
    assert (assigned.assignment.round, assigned.assignment.model, assigned.withdrawn) == (1, initial, None)
    assert assigned.assignment.deadline == simulated.round(1).opened_at + 2 * (600.0 + 60.0)

    after_first = simulated.current()[1]["w"]
    np.testing.assert_allclose(after_first, INITIAL["w"] + 2)
    version = simulated.put("d2", 1, simulated.update("d2", 1, 8.0, base=initial.sha256))
    assert simulated.accepted_count(2, 1).status == "open"
    simulated.answer("d0", 2, value=1.0)
    closed = simulated.ended(2)
    assert (closed.status, closed.accepted, closed.refused) == ("closed", 2, 0)
    late = 1 / math.sqrt(2)
    np.testing.assert_allclose(simulated.current()[1]["w"], after_first + (8.0 * late + 1.0) / (late + 1), rtol=1e-6)
    again = simulated.arrival("d2", 1, version)
    assert simulated.invoke(simulated.deployed.averager, again=again) == set()
    assert (simulated.round(1).refused, simulated.round(2).accepted) == (0, 2)  # a duplicate is no news

    turnaround_s = simulated.client("d2").turnaround_s
    (response,) = [r for r in simulated.responses_to(2).accepted if r.thing == "d2"]
    assert turnaround_s == response.arrived_at - simulated.responses_to(1).notified["d2"]
    eventually(lambda: simulated.desired("d1").withdrawn == 2, "d1 to be told that no other round comes")


def test_what_comes_between_two_rounds_counts_in_the_next_one(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=2, target=2, **BUFFERED)
    initial, _ = simulated.current()
    simulated.start()
    simulated.opened(1)
    simulated.operations.pause(simulated.name)
    simulated.answer("d0", 1)
    simulated.answer("d1", 1)
    simulated.ended(1)
    simulated.put("d2", 1, simulated.update("d2", 1, base=initial.sha256))
    simulated.report_progress("d3", 1, "failed", "out of memory")
    simulated.settled()
    assert simulated.round(1).refused == 0

    simulated.start()
    second = simulated.round_with(2, "told of both", lambda record: record.accepted + record.failed == 2)
    assert (second.status, second.accepted, second.failed) == ("open", 1, 1)
    assert {r.thing: r.reason for r in simulated.responses_to(2).failed} == {"d3": "out of memory"}


def test_an_assignment_that_is_too_old_is_withdrawn_and_its_update_refused(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:2], rounds=4, target=1, **BUFFERED)
    initial, _ = simulated.current()
    simulated.start()
    simulated.answer("d0", 1)
    simulated.opened(2)
    assert simulated.desired("d1").withdrawn is None
    simulated.answer("d0", 2)
    third = simulated.opened(3)
    assert [(member.thing, member.assigned_in) for member in third.cohort] == [("d0", None), ("d1", None)]
    assert simulated.assignment("d1", 3).model == third.base
    assert simulated.desired("d1").withdrawn == 2
    simulated.put("d1", 1, simulated.update("d1", 1, base=initial.sha256))
    assert simulated.reason("d1", 1) == "too old: assigned 2 rounds ago; max_staleness is 1"
    assert simulated.round(3).accepted == 0


def test_a_client_whose_late_update_was_refused_is_free_for_the_next_round(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:2], rounds=4, target=1, **BUFFERED | {"max_staleness": 3})
    simulated.start()
    simulated.answer("d0", 1)
    simulated.opened(2)
    simulated.put("d1", 1, b"no tensor in sight")
    assert simulated.reason("d1", 2).startswith("malformed: ")
    assert (simulated.round(1).refused, simulated.round(2).refused) == (0, 1)
    simulated.answer("d0", 2)
    third = simulated.opened(3)
    assert [(member.thing, member.assigned_in) for member in third.cohort] == [("d0", None), ("d1", None)]
    assert simulated.assignment("d1", 3).model == third.base


def test_after_a_rollback_nobody_trains_on_from_a_model_that_is_given_up(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:2], rounds=3, target=1, **BUFFERED)
    initial, _ = simulated.current()
    simulated.start()
    simulated.opened(1)
    simulated.operations.pause(simulated.name)
    simulated.answer("d0", 1)
    simulated.ended(1)
    simulated.operations.roll_back(simulated.name, 0)
    simulated.operations.start(simulated.name)
    second = simulated.opened(2)
    assert second.base == initial
    assert [(member.thing, member.assigned_in) for member in second.cohort] == [("d0", None), ("d1", None)]
    assert simulated.desired("d1").withdrawn == 1
