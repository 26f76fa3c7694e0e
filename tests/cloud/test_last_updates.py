"""Rounds with variance reduction, through the functions: what stands in for the clients that a round is without."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from cloud.averaging.last_updates import LastUpdates
from cloud.state.records import RoundRecord
from operations.forgetting import forget
from protocol import names
from protocol.messages import CheckRound, ExpelClient, encode
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1", "d2", "d3", "d4")
SETTINGS: dict[str, Any] = {
    "rounds": 9,
    "selection": {"policy": "random", "cohort": 2},
    "averaging": {"rule": "mean", "variance_reduction": True},
}


class Expected:
    """FedVARP on one number, which each update changes by one value."""

    def __init__(self) -> None:
        self.value = float(INITIAL["w"][0, 0])
        self.last: dict[str, float] = {}

    def copy(self) -> "Expected":
        copied = Expected()
        copied.value, copied.last = self.value, dict(self.last)
        return copied

    def have(self, new: dict[str, float]) -> None:
        mean = float(np.mean(list(self.last.values()))) if self.last else 0.0
        self.value += mean + float(np.mean([value - self.last.get(thing, mean) for thing, value in new.items()]))
        self.last |= new


def carried_through(simulated: SimulatedFederation, number: int) -> tuple[RoundRecord, dict[str, float]]:
    """A round, to its end, and what its clients sent."""
    cohort = [member.thing for member in simulated.opened(number).cohort]
    values = {thing: float(2**number + 3 * place) for place, thing in enumerate(cohort)}
    for thing, value in values.items():
        simulated.answer(thing, number, value=value)
    return simulated.ended(number), values


def value_of(simulated: SimulatedFederation) -> float:
    return float(simulated.current()[1]["w"][0, 0])


def last_updates(simulated: SimulatedFederation, number: int) -> Sequence[str]:
    """The clients whose last updates are known with the model of a round."""
    key = names.last_updates_key(simulated.name, number, simulated.life)
    return list(msgspec.json.decode(simulated.operations.models.fetch(key).data, type=LastUpdates).of)


def test_a_round_counts_last_updates_of_rounds_that_closed_and_are_not_rolled_back(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, **SETTINGS)
    simulated.start()
    expected = Expected()
    for number in (1, 2):
        _, sent = carried_through(simulated, number)
        expected.have(sent)
        assert value_of(simulated) == expected.value
    at_second = expected.copy()
    check = CheckRound(federation=simulated.name, life=simulated.life, round=2, at=0.0)
    assert simulated.invoke_again(simulated.deployed.averager, again=encode(check).decode()) == set()

    lost = simulated.opened(3).cohort[0].thing
    simulated.answer(lost, 3, value=500.0)
    simulated.accepted_count(3, 1)
    simulated.abort(3, "a test's")
    closed, sent = carried_through(simulated, 4)
    expected.have(sent)
    assert (closed.status, value_of(simulated)) == ("closed", expected.value)
    assert last_updates(simulated, 4) == sorted(expected.last)

    simulated.opened(5)
    simulated.operations.pause(simulated.name)
    simulated.abort(5, "a test's")
    simulated.operations.roll_back(simulated.name, 2)
    simulated.operations.start(simulated.name)
    _, sent = carried_through(simulated, 6)
    at_second.have(sent)
    assert value_of(simulated) == at_second.value
    simulated.stop()


def test_nothing_is_left_of_a_client_that_was_expelled_or_forgotten(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, **SETTINGS)
    simulated.start()
    _, sent = carried_through(simulated, 1)
    expelled = next(iter(sent))
    cohort = [member.thing for member in simulated.opened(2).cohort]
    expulsion = ExpelClient(federation=simulated.name, life=simulated.life, round=2, thing=expelled)
    assert simulated.invoke(simulated.deployed.averager, expel=encode(expulsion).decode()) == set()
    expected = Expected()
    expected.value = value_of(simulated)
    sent = {thing: 7.0 + place for place, thing in enumerate(cohort) if thing != expelled}
    for thing, value in sent.items():
        simulated.answer(thing, 2, value=value)
    simulated.ended(2)
    expected.have(sent)
    assert value_of(simulated) == expected.value
    assert last_updates(simulated, 2) == sorted(sent)

    cohort = [member.thing for member in simulated.opened(3).cohort]
    forgotten = next(thing for thing in THINGS if thing not in cohort)
    forget(simulated.operations, simulated.aws.client("iot-data"), simulated.name, forgotten)
    _, sent = carried_through(simulated, 3)
    expected.have(sent)
    assert value_of(simulated) == expected.value
    expected.last = {}
    _, sent = carried_through(simulated, 4)
    expected.have(sent)
    assert value_of(simulated) == expected.value
    assert last_updates(simulated, 4) == sorted(sent)
    simulated.stop()
