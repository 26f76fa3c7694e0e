"""FedAvg (McMahan et al., 2017): the averaged difference is added to the model."""

from cloud.averaging.optimizers.optimizer import Optimizer, Values, Vectors
from cloud.settings import FedAvg


def fedavg(settings: FedAvg) -> Optimizer:
    """The optimizer of these settings."""
    rate = settings.learning_rate

    def step(weights: Values, delta: Values, _: Vectors) -> tuple[Values, Vectors]:
        return weights + (delta if rate == 1.0 else rate * delta), ()

    return Optimizer({}, step)
