"""FedAvg (McMahan et al., 2017): the averaged difference is added to the model."""

from cloud.averaging.optimizers.optimizer import Optimizer, State, Values
from cloud.settings import FedAvg


def fedavg(settings: FedAvg) -> Optimizer:
    """The optimizer of these settings."""
    rate = settings.learning_rate

    def step(weights: Values, delta: Values, _: State) -> tuple[Values, State]:
        return weights + (delta if rate == 1.0 else rate * delta), ()

    return Optimizer({}, step)
