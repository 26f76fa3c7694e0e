"""Rounds in which clients evaluate, and nobody trains, as the functions carry them through."""

from typing import Any

import pytest

from protocol import names
from protocol.encodings import EVALUATION
from protocol.messages import encode
from protocol.tensors import encode_header
from tests.cloud.simulated import SimulatedFederation

SETTINGS: dict[str, Any] = {
    "rounds": 4,
    "evaluation": {"every_rounds": 2},
    "averaging": {"ema": 0.5},
    "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.1, "weight_decay": 0.1, "seed": 7},
}


def evaluate(simulated: SimulatedFederation, thing: str, number: int, **changes: Any) -> str:
    """What a device does that is told to evaluate."""
    assignment = simulated.assignment(thing, number)
    fields = {"base": assignment.model.sha256, "steps": 0, "before": {"accuracy": 0.5}} | changes
    report = simulated.report(thing, number, **fields)
    return simulated.put(thing, number, encode_header(EVALUATION.tensors, encode(report).decode()))


def test_the_model_is_evaluated_with_its_moving_average_and_the_next_round_trains_from_it(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], **SETTINGS)
    simulated.start()
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1)
    first = simulated.ended(1)
    assert first.model is not None

    assignment = simulated.assignment("d0", 2)
    assert assignment.v == 3
    assert (assignment.training.seed, assignment.training.epochs, assignment.training.weight_decay) == (7, None, 0.0)
    assert assignment.average == first.model.average
    assert assignment.average is not None
    assert assignment.average.key == names.ema_key(simulated.name, 1, simulated.life)
    assert len(simulated.operations.models.get(assignment.average)) == assignment.average.bytes
    evaluate(simulated, "d0", 2, before={"accuracy": 0.2}, average={"accuracy": 0.4}, examples=10)
    evaluate(simulated, "d1", 2, before={"accuracy": 0.8}, average={"accuracy": 1.0}, examples=30)
    second = simulated.ended(2)
    assert (second.status, second.model, second.evaluates) == ("closed", first.model, True)
    assert second.metrics == pytest.approx({"accuracy_average": 0.85, "accuracy_before": 0.65})
    spread = second.spreads["accuracy_before"]
    assert (spread.devices, spread.worst, spread.best) == (2, 0.2, 0.8)
    assert spread.deviation == pytest.approx(0.3)
    assert simulated.models_written(2) == 0
    record = simulated.operations.federations.get(simulated.name)
    assert (record.round, record.model) == (2, first.model)
    assert record.evaluation is not None
    assert record.evaluation.metrics == second.metrics

    trained = simulated.assignment("d0", 3)
    assert (trained.evaluate, trained.training.epochs) == (None, 3)
    assert trained.model == first.model.downloaded
    for thing in ("d0", "d1"):
        simulated.answer(thing, 3)
    third = simulated.ended(3)
    assert third.status == "closed"
    assert third.evaluation == record.evaluation
    assert third.model is not None
    assert names.parse_model_key(third.model.key).round == 3
    simulated.stop()


def test_clients_that_die_keep_no_round_open_and_one_without_quorum_changes_nothing(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1", "d2"], **SETTINGS | {"extension_s": 0, "target": 3, "quorum": 2})
    simulated.start()
    for thing in ("d0", "d1", "d2"):
        simulated.answer(thing, 1)
    first = simulated.ended(1)
    for thing in ("d0", "d1"):
        evaluate(simulated, thing, 2)
    simulated.accepted_count(2, 2)
    simulated.reach_deadline(2)
    second = simulated.ended(2)
    assert (second.status, second.accepted, second.vanished) == ("closed", 2, ("d2",))
    assert simulated.client("d2").missed == 0
    for thing in ("d0", "d1", "d2"):
        simulated.answer(thing, 3)
    third = simulated.ended(3)
    evaluate(simulated, "d0", 4)
    simulated.accepted_count(4, 1)
    simulated.reach_deadline(4)
    fourth = simulated.ended(4)
    assert (fourth.status, fourth.reason) == (
        "aborted",
        "the deadline was reached with 1 updates; the quorum is 2 of 3 clients",
    )
    record = simulated.operations.federations.get(simulated.name)
    assert (record.status, record.model) == ("finished", third.model)
    assert first.model != third.model


def test_an_update_is_no_evaluation_and_an_evaluation_no_update(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], **SETTINGS)
    simulated.start()
    evaluate(simulated, "d0", 1)
    assert "wrong schema" in simulated.reason("d0", 1)
    simulated.answer("d1", 1, steps=0)
    assert "no steps" in simulated.reason("d1", 1)
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1)
    simulated.ended(1)
    simulated.answer("d0", 2)
    assert "wrong schema" in simulated.reason("d0", 2)
    simulated.stop()
