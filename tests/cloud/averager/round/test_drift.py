"""cloud/averager/round/drift.py: whether those who train find the model as good as all have found it."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cloud.averager.round.conclusions import concluded
from cloud.averager.round.drift import drifts, is_drift
from cloud.state.records import ModelEvaluation, RoundRecord
from cloud.state.spread import mean, spread_of
from tests.cloud.examples import BASE, round_record


def training_round(reported: Sequence[float], found: Sequence[float], **changes: Any) -> RoundRecord:
    """One in which clients have these accuracies of a model that round 4 has evaluated."""
    name = "accuracy_before"
    evaluation = ModelEvaluation(
        round=4, model=BASE.key, metrics={name: mean(found)}, spreads={name: spread_of(found, name)}
    )
    record = round_record(
        "a",
        round=5,
        status="closed",
        metrics={name: mean(reported)},
        spreads={name: spread_of(reported, name)},
        evaluation=evaluation,
    )
    return msgspec.structs.replace(record, **changes)


FAST = [0.9 + n / 1000 for n in range(12)]
ALL = [0.5 + n / 100 for n in range(40)]


def test_a_cohort_that_finds_the_model_far_better_than_a_sample_of_all_is_told() -> None:
    record = concluded(training_round(FAST, ALL), None)
    told = "'accuracy_before' is 0.9055 by the 12 clients that train, and 0.695 by the 40 that round 4 drew from all"
    assert record.warnings == (f"{told}: they differ by more than chance",)


@pytest.mark.parametrize(
    "record",
    [
        training_round(ALL, ALL),
        training_round(FAST[:9], ALL),
        training_round(FAST, ALL[:9]),
        training_round([0.700] * 20, [0.705] * 20),
        training_round(FAST, ALL, base=msgspec.structs.replace(BASE, key=BASE.key.replace("0.safe", "1.safe"))),
        training_round(FAST, ALL, evaluates=True),
        training_round(FAST, ALL, evaluation=None),
        training_round(FAST, ALL, metrics=None),
        training_round([1e308, -1e308] * 6, ALL),
    ],
    ids=[
        "the same",
        "too few train",
        "too few evaluated",
        "too little to matter",
        "another model",
        "evaluates itself",
        "nothing was evaluated",
        "nothing was measured",
        "no spread that a float could have",
    ],
)
def test_there_is_no_warning_of_what_may_be_chance_or_of_what_can_not_be_compared(record: RoundRecord) -> None:
    assert list(drifts(record)) == []


@pytest.mark.parametrize("trainers", [10, 20])
def test_cohorts_of_a_fleet_whose_devices_differ_much_raise_no_false_alarm(trainers: int) -> None:
    generator = random.Random(f"drift {trainers}")  # noqa: S311 - reproducible, not secret
    alarms = 0
    for _ in range(300):
        fleet = [min(1.0, generator.expovariate(4)) for _ in range(200)]
        weights = [generator.lognormvariate(0, 1) for _ in fleet]
        sides = []
        for size in (trainers, 40):
            drawn = generator.sample(range(len(fleet)), size)
            values, shares = [fleet[n] for n in drawn], [weights[n] for n in drawn]
            weighted = sum(v * w for v, w in zip(values, shares, strict=True)) / sum(shares)
            sides.append((weighted, spread_of(values, "loss", shares)))
        alarms += is_drift(*sides[0], *sides[1])
    assert alarms == 0
