"""Rounds whose cohort is drawn by what is known of clients: what is recorded of the draw, and what the average is."""

import msgspec
import numpy as np

from cloud.initiator.selection.cohort import select
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1", "d2", "d3")


def test_a_round_records_its_draw_and_weighs_updates_by_it(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3, selection={"cohort": 2}, averaging={"rule": "mean"})
    simulated.start()
    first = simulated.opened(1)
    assert [member.inclusion for member in first.cohort] == [0.5, 0.5]  # nothing is known of anyone
    for place, member in enumerate(first.cohort):
        simulated.answer(member.thing, 1, value=1.0 + 3 * place)
    second = simulated.opened(2)
    known = {client.thing: client for client in simulated.operations.clients.of(simulated.name)}
    for place, member in enumerate(first.cohort):
        # Six numbers, and one of bfloat16.
        np.testing.assert_allclose(known[member.thing].norm or 0, (1.0 + 3 * place) * np.sqrt(7), rtol=1e-6)
    expected = select(list(known.values()), second.settings.selection, 2, averaging=second.settings.averaging)
    assert [(member.thing, member.inclusion) for member in second.cohort] == [
        (member.thing, member.inclusion) for member in expected
    ]
    before = simulated.current()[1]["w"]
    values = {member.thing: 1.0 + place for place, member in enumerate(second.cohort)}
    for thing, value in values.items():
        simulated.answer(thing, 2, value=value)
    simulated.ended(2)
    weights = {member.thing: 1 / (member.inclusion or 1.0) for member in second.cohort}
    mean = sum(weights[thing] * values[thing] for thing in values) / sum(weights.values())
    np.testing.assert_allclose(simulated.current()[1]["w"], before + mean, rtol=1e-6)


def test_an_update_that_is_carried_over_keeps_its_weight(simulated: SimulatedFederation) -> None:
    simulated.create(
        THINGS,
        rounds=2,
        quorum=2,
        extension_s=0.0,
        selection={"cohort": 2},
        averaging={"rule": "mean", "carry_over": True},
    )
    simulated.start()
    first = simulated.opened(1)
    simulated.answer(first.cohort[0].thing, 1, value=8.0)
    simulated.accepted_count(1, 1)
    simulated.reach_deadline(1)
    second = simulated.opened(2)
    assert [(one.thing, one.inclusion) for one in second.carried] == [(first.cohort[0].thing, 0.5)]
    for member in second.cohort:
        simulated.answer(member.thing, 2, value=2.0)
    simulated.ended(2)
    weights = [1 / (member.inclusion or 1.0) for member in second.cohort]
    values = [2.0] * len(weights)
    if first.cohort[0].thing not in {member.thing for member in second.cohort}:  # else its newer update counts
        weights.append(1 / 0.5 / np.sqrt(2))
        values.append(8.0)
    mean = np.average(values, weights=weights)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + mean, rtol=1e-6)


def test_a_federation_that_was_stored_with_a_policy_keeps_it(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, selection={"policy": "all"})
    simulated.start()
    record = simulated.opened(1)
    assert record.settings.selection.policy == "all"
    assert [member.thing for member in record.cohort] == list(THINGS)
    assert "inclusion" not in msgspec.json.encode(record.cohort).decode()
