"""The learning rate of each round, by the schedules: looked up here and nowhere else."""

import math
from typing import assert_never

from cloud.settings import Constant, Cosine, Exponential, Federation, LocalTraining, Step
from protocol.messages import Training

LEAST = 1e-100
"""No learning rate is smaller: devices take none that is 0, and the numbers of DynamoDB end before those of Python."""


def learning_rate_in(settings: Federation, round_number: int) -> float:
    """What the schedule makes of the learning rate for a round; the first one is 1."""
    training, schedule = settings.training, settings.training.schedule
    if round_number <= schedule.warmup_rounds:
        return max(LEAST, training.learning_rate * round_number / (schedule.warmup_rounds + 1))
    return max(LEAST, _after_warmup(training, round_number - 1 - schedule.warmup_rounds, settings.rounds))


def _after_warmup(training: LocalTraining, past: int, rounds: int) -> float:
    """`past` is how many rounds there have been since the warm-up."""
    full, schedule = training.learning_rate, training.schedule
    match schedule:
        case Constant():
            return full
        case Step():
            return full * math.pow(schedule.factor, past // schedule.every_rounds)
        case Exponential():
            return full * math.pow(schedule.factor, past)
        case Cosine():
            share = min(1.0, past / max(1, rounds - schedule.warmup_rounds))
            least = schedule.final_learning_rate
            return least + (full - least) * (1 + math.cos(math.pi * share)) / 2
        case _:
            assert_never(schedule)


def training_in(settings: Federation, round_number: int) -> Training:
    """How the cohort of a round is told to train."""
    told = {name: getattr(settings.training, name) for name in Training.__struct_fields__}
    return Training(**told | {"learning_rate": learning_rate_in(settings, round_number)})
