"""cloud/initiator/learning_rate: what the cohort of each round is told."""

import copy
from typing import Any

import pytest
import torch

from cloud.initiator.learning_rate import LEAST, learning_rate_in, training_in
from cloud.settings import Federation, Step
from protocol.messages import Training, encode
from tests.cloud.examples import TRAINING, federation


def settings_of(rounds: int = 20, learning_rate: float = 0.4, **schedule: Any) -> Federation:
    return federation(
        rounds=rounds, training=TRAINING | {"learning_rate": learning_rate, "schedule": {"name": "constant"} | schedule}
    )


def rates(settings: Federation) -> list[float]:
    return [learning_rate_in(settings, number) for number in range(1, settings.rounds + 1)]


def reference(scheduler: Any, rounds: int, **arguments: Any) -> list[float]:
    """What torch's scheduler gives if it takes a step after each round."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = scheduler(optimizer, **arguments)
    found = []
    for _ in range(rounds):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


SCHEDULES: list[tuple[dict[str, Any], Any, dict[str, Any]]] = [
    ({"name": "step", "every_rounds": 3}, torch.optim.lr_scheduler.StepLR, {"step_size": 3}),
    (
        {"name": "step", "every_rounds": 1, "factor": 0.5},
        torch.optim.lr_scheduler.StepLR,
        {"step_size": 1, "gamma": 0.5},
    ),
    ({"name": "exponential", "factor": 0.9}, torch.optim.lr_scheduler.ExponentialLR, {"gamma": 0.9}),
    ({"name": "cosine"}, torch.optim.lr_scheduler.CosineAnnealingLR, {"T_max": 20}),
    (
        {"name": "cosine", "final_learning_rate": 0.1},
        torch.optim.lr_scheduler.CosineAnnealingLR,
        {"T_max": 20, "eta_min": 0.1},
    ),
]


@pytest.mark.parametrize(("schedule", "scheduler", "arguments"), SCHEDULES)
def test_a_schedule_by_round_is_that_of_torch(schedule: dict[str, Any], scheduler: Any, arguments: Any) -> None:
    assert rates(settings_of(**schedule)) == pytest.approx(reference(scheduler, 20, **arguments))


def test_without_a_schedule_it_is_the_same_in_each_round() -> None:
    assert rates(settings_of()) == [0.4] * 20
    assert rates(federation(training=TRAINING)) == [0.1] * 10


@pytest.mark.parametrize("schedule", [{}, *(schedule for schedule, *_ in SCHEDULES)])
def test_it_rises_to_where_the_schedule_begins(schedule: dict[str, Any]) -> None:
    warm = rates(settings_of(rounds=24, warmup_rounds=4, **schedule))
    assert warm[:5] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    assert warm[4:] == rates(settings_of(**schedule))


@pytest.mark.parametrize("schedule", [{}, *(schedule for schedule, *_ in SCHEDULES)])
def test_a_trial_of_fewer_rounds_than_the_schedule_has_is_none_the_worse(schedule: dict[str, Any]) -> None:
    assert all(0 < rate <= 0.4 for rate in rates(settings_of(rounds=2, warmup_rounds=9, **schedule)))


@pytest.mark.parametrize("schedule", [schedule for schedule, *_ in SCHEDULES])
def test_no_round_has_one_that_devices_would_refuse(schedule: dict[str, Any]) -> None:
    settings = settings_of(**schedule)
    for number in (settings.rounds, settings.rounds + 1, 99_999_999):  # it may be given more rounds than it had
        assert LEAST <= learning_rate_in(settings, number) <= 0.4


def test_a_cohort_is_told_the_rate_of_its_round_and_all_else_as_it_is() -> None:
    settings = settings_of(name="step", every_rounds=2, factor=0.25)
    given = copy.deepcopy(settings)
    told = training_in(settings, 3)
    assert type(told) is Training
    assert told == Training(**TRAINING | {"learning_rate": 0.1})  # type: ignore[arg-type]
    assert b"schedule" not in encode(told)
    assert settings == given
    assert settings.training.schedule == Step(every_rounds=2, factor=0.25)
