"""Rounds that end before the settings' number of them, since a stop rule says so; and the best model."""

import msgspec
import pytest

from cli import course
from cloud.settings import Stop
from cloud.state.rounds import UnknownRoundError
from operations import settings_update
from protocol import names
from tests.cloud.simulated import SimulatedFederation

STOP = {"metric": "accuracy", "patience": 2}


def test_a_federation_stops_when_nothing_gets_better_and_goes_on_with_another_rule(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=9, stop=STOP)
    simulated.start()
    for number, accuracy in enumerate([0.5, 0.7, 0.6, 0.65], 1):
        simulated.answer("d0", number, before={"accuracy": accuracy})
    simulated.ended(4)
    operations = simulated.operations
    record = operations.federations.get(simulated.name)
    stopped = "accuracy has not been better than 0.7 for 2 rounds: stop.patience"
    assert (record.status, record.round, record.ended_by_rule) == ("finished", 4, stopped)
    assert record.best is not None
    assert (record.best.value, record.best.round) == (0.7, 2)
    assert names.parse_model_key(record.best.model.key).round == 1
    assert operations.models.get(record.best.model)
    assert record.average_s is not None
    lines = list(course.lines(record.best, None, record.stopped))
    assert lines == [f"best by accuracy, 0.7000 in round 2: {record.best.model.key}", f"no more rounds: {stopped}"]
    simulated.settled()
    with pytest.raises(UnknownRoundError):
        simulated.round(5)

    settings = msgspec.structs.replace(record.settings, stop=Stop(metric="accuracy", patience=7))
    settings_update.apply(operations, settings_update.prepare(operations, settings))
    simulated.start()
    assert operations.federations.get(simulated.name).ended_by_rule == ""
    simulated.answer("d0", 5, before={"accuracy": 0.9})
    simulated.opened(6)
    record = operations.federations.get(simulated.name)
    assert (record.status, record.stopped) == ("running", "")
    assert record.best is not None
    assert (record.best.value, record.best.round) == (0.9, 5)


def test_a_federation_stops_at_its_target(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=9, stop={"metric": "accuracy", "at": 0.9})
    simulated.start()
    simulated.answer("d0", 1, before={"accuracy": 0.95})
    assert simulated.ended(1).stopped == "accuracy is 0.95: stop.at is 0.9"
    assert simulated.operations.federations.get(simulated.name).status == "finished"
