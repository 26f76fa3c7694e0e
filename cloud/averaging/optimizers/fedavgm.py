"""FedAvgM (Hsu et al., 2019, section 4.3): averaged differences gather momentum."""

import numpy as np

from cloud.averaging.optimizers.optimizer import Optimizer, Values, Vectors, as_vector
from cloud.settings import FedAvgM


def fedavgm(settings: FedAvgM) -> Optimizer:
    """The optimizer of these settings."""

    def step(weights: Values, delta: Values, vectors: Vectors) -> tuple[Values, Vectors]:
        (momentum,) = vectors
        moved = settings.beta * momentum.astype(np.float64) + delta
        return weights + settings.learning_rate * moved, (as_vector(moved),)

    return Optimizer({"momentum": 0.0}, step)
