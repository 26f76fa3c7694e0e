"""FedAvgM (Hsu et al., 2019, section 4.3): averaged differences gather momentum."""

import numpy as np

from cloud.averaging.optimizers.optimizer import Optimizer, State, Values, as_state
from cloud.settings import FedAvgM


def fedavgm(settings: FedAvgM) -> Optimizer:
    """The optimizer of these settings."""

    def step(weights: Values, delta: Values, state: State) -> tuple[Values, State]:
        (momentum,) = state
        moved = settings.beta * momentum.astype(np.float64) + delta
        return weights + settings.learning_rate * moved, (as_state(moved),)

    return Optimizer({"momentum": 0.0}, step)
