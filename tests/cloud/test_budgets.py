"""Federations that stop before their rounds cost more than their budget."""

import math

import msgspec
import pytest

from cli.run_costs import price_in
from cloud.settings import Stop
from operations import settings_update
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation


def change_budget(simulated: SimulatedFederation, budget_usd: float) -> None:
    """As `fedgrass update` does."""
    settings = simulated.operations.federations.get(simulated.name).settings
    other = msgspec.structs.replace(settings, stop=Stop(budget_usd=budget_usd))
    settings_update.apply(simulated.operations, settings_update.prepare(simulated.operations, other))


def cost_of_a_round(simulated: SimulatedFederation) -> float:
    """As `fedgrass plan` has it."""
    price = price_in(simulated.operations.models, simulated.operations.federations.get(simulated.name))
    assert price is not None
    return math.fsum(price(1, False).values())


def test_a_federation_stops_within_its_budget_and_goes_on_with_a_larger_one(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=9)
    cost = cost_of_a_round(simulated)
    change_budget(simulated, 2.5 * cost)
    simulated.start()
    for number in (1, 2):
        simulated.answer("d0", number)
        assert simulated.ended(number).spent_usd == pytest.approx(number * cost)
    record = simulated.operations.federations.get(simulated.name)
    assert (record.status, record.round) == ("finished", 2)
    assert record.spent_usd == pytest.approx(2 * cost)
    assert record.ended_by_rule.endswith(f"stop.budget_usd is {2.5 * cost:g}")
    change_budget(simulated, 3.5 * cost)
    simulated.start()
    simulated.answer("d0", 3)
    assert simulated.ended(3).spent_usd == pytest.approx(3 * cost)
    assert simulated.operations.federations.get(simulated.name).status == "finished"


def test_a_budget_that_is_raised_while_a_round_goes_on_counts_when_it_ends(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=9, stop={"budget_usd": 1e-9})
    simulated.start()
    simulated.opened(1)
    change_budget(simulated, 5.0)
    simulated.answer("d0", 1)
    assert simulated.ended(1).stopped == ""
    assert simulated.opened(2).spent_usd == simulated.ended(1).spent_usd


def test_a_budget_that_is_lowered_between_rounds_opens_no_other_round(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=9)
    simulated.start()
    simulated.opened(1)
    simulated.operations.pause(simulated.name)
    simulated.answer("d0", 1)
    simulated.ended(1)
    change_budget(simulated, 1e-9)
    simulated.start()
    operations = simulated.operations
    eventually(lambda: operations.federations.get(simulated.name).status == "finished", "the federation to stop")
    record = operations.federations.get(simulated.name)
    assert record.round == 1
    assert record.ended_by_rule.endswith("stop.budget_usd is 1e-09")
