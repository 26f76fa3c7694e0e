"""Rounds in which clients evaluate, and nobody trains."""

from pathlib import Path
from typing import Any

import pytest

from protocol.messages import ModelHeader, decode
from protocol.tensors import parse_header
from simulation.saved_state import SavedState
from simulation.vectorized.backend import VectorizedBackend
from tests.simulation.federations import Federation, Watched, digests

EVALUATING: dict[str, Any] = {
    "rounds": 5,
    "selection": {"policy": "random", "cohort": 2},
    "evaluation": {"every_rounds": 2, "cohort": "80%"},
    "averaging": {"ema": 0.5},
}


def test_every_second_round_a_share_of_all_clients_evaluates_and_the_model_stays_as_it_is(tmp_path: Path) -> None:
    federation = Federation(tmp_path, **EVALUATING)
    first, second, third, fourth, _ = federation.rounds()
    assert [len(ended.record.cohort) for ended in (first, second, third, fourth)] == [2, 4, 2, 4]
    assert (first.record.evaluates, second.record.evaluates) == (False, True)
    assert second.record.status == "closed"
    assert second.federation.model == second.record.base == first.federation.model
    assert third.federation.model != second.federation.model
    assert third.record.base == second.federation.model


def test_they_measure_the_model_and_the_moving_average_and_how_far_devices_are_apart(tmp_path: Path) -> None:
    _, second, *_ = Federation(tmp_path, **EVALUATING).rounds()
    metrics, spreads = second.record.metrics or {}, second.record.spreads
    assert metrics.keys() == {"accuracy_before", "loss_before", "accuracy_average", "loss_average"}
    assert metrics["loss_before"] != metrics["loss_average"]
    of_loss = spreads["loss_before"]
    assert of_loss.devices == 4
    assert of_loss.worst >= of_loss.median >= of_loss.best
    values = [one.report.before["loss"] for one in second.responses.accepted if one.report]
    assert of_loss.worst == max(value for value in values if value is not None)
    assert [one.bytes for one in second.responses.accepted] == [pytest.approx(900, abs=400)] * 4


def test_an_evaluation_teaches_nothing_about_how_clients_train(tmp_path: Path) -> None:
    simulation = Federation(tmp_path, clients=3, **EVALUATING | {"selection": {"policy": "all"}}).simulation()
    rounds = simulation.run()
    next(rounds)
    before = {client.thing: client for client in simulation.standing.clients}
    next(rounds)
    assert {client.thing: client for client in simulation.standing.clients} == before


def test_clients_that_can_not_evaluate_decline_and_the_rest_is_enough(tmp_path: Path) -> None:
    task = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from fedgrass.task import Data


def build_model():
    return nn.Linear(4, 3)


def load_data(directory, client):
    inputs = torch.randn(8, 4)
    data = TensorDataset(inputs, inputs[:, :3].argmax(1))
    return Data(data, None if client.thing == "c0" else data)
"""
    settings = EVALUATING | {"evaluation": {"every_rounds": 2}, "rounds": 2}
    _, second = Federation(tmp_path, clients=3, task=task, **settings).rounds()
    assert (second.record.status, second.record.accepted, second.record.failed) == ("closed", 2, 1)
    (declined,) = second.responses.failed
    assert (declined.thing, declined.state) == ("c0", "declined")
    assert "there is no test set to evaluate on" in (declined.reason or "")


def test_no_more_is_computed_than_the_cohort_evaluates(tmp_path: Path) -> None:
    federation = Federation(tmp_path, **EVALUATING)
    watched = Watched(federation)
    rounds = federation.rounds(watched)
    assert sorted(watched.computed[2]) == sorted(member.thing for member in rounds[1].record.cohort)


def test_clients_that_are_trained_together_evaluate_one_after_the_other(tmp_path: Path) -> None:
    federation = Federation(tmp_path, **EVALUATING | {"rounds": 2})
    told: list[str] = []
    backend = VectorizedBackend(federation.setup, 1, told.append)
    _, second = federation.rounds(backend)
    backend.close()
    _, expected = federation.rounds()
    assert second.record.metrics == pytest.approx(expected.record.metrics, rel=1e-3)


def test_updates_of_an_aborted_round_wait_until_a_round_trains(tmp_path: Path) -> None:
    settings = {"averaging": {"carry_over": True}, "selection": {"policy": "all"}, "quorum": "50%", "rounds": 3}
    does = {"c0": "fails", "c1": "fails", "c2": "fails"}
    rounds = Federation(tmp_path, does=does, **EVALUATING | settings).rounds()
    first, second, third = (ended.record for ended in rounds)
    assert first.status == "aborted"
    assert [carried.thing for carried in second.carried] == ["c3", "c4"]
    assert second.status == "closed"
    assert [(carried.thing, carried.round, carried.age) for carried in third.carried] == [("c3", 1, 2), ("c4", 1, 2)]


def test_a_simulation_that_was_cut_off_between_rounds_goes_on_with_what_was_evaluated(tmp_path: Path) -> None:
    federation = Federation(tmp_path / "whole", **EVALUATING)
    whole = federation.rounds()
    assert whole[2].record.evaluation == whole[1].record.evaluation
    assert whole[1].record.evaluation is not None
    assert whole[3].record.evaluation != whole[1].record.evaluation
    cut = Federation(tmp_path / "cut", **EVALUATING)
    simulation = cut.simulation()
    rounds = simulation.run()
    begun = [next(rounds), next(rounds)]
    state = SavedState(tmp_path / "saved", {})
    state.save(simulation)
    assert digests([*begun, *cut.resumed(state).run()]) == digests(whole)


def test_a_model_says_which_round_made_it_whatever_rounds_before_made_none(tmp_path: Path) -> None:
    simulation = Federation(tmp_path, **EVALUATING | {"rounds": 3}).simulation()
    *_, third = simulation.run()
    model = simulation.models.model(third.federation.model)
    assert decode(parse_header(model, len(model)).message, ModelHeader).round == 3
