"""FedAdagrad, FedAdam and FedYogi: algorithm 2 of Reddi et al. (2021), of which one line differs."""

from collections.abc import Callable

import numpy as np

from cloud.averaging.optimizers.optimizer import Optimizer, Values, Vectors, as_vector
from cloud.settings import FedAdagrad, FedAdam, FedYogi


def fedadagrad(settings: FedAdagrad) -> Optimizer:
    """The optimizer of these settings."""
    return _adaptive(settings, lambda squares, square: squares + square)


def fedadam(settings: FedAdam) -> Optimizer:
    """The optimizer of these settings."""
    return _adaptive(settings, lambda squares, square: settings.beta2 * squares + (1 - settings.beta2) * square)


def fedyogi(settings: FedYogi) -> Optimizer:
    """The optimizer of these settings."""

    def gathered(squares: Values, square: Values) -> Values:
        new: Values = squares - (1 - settings.beta2) * square * np.sign(squares - square)
        return new

    return _adaptive(settings, gathered)


def _adaptive(settings: FedAdagrad | FedAdam | FedYogi, gathered: Callable[[Values, Values], Values]) -> Optimizer:
    """Steps shrink by the root of the squares that were `gathered` so far. These begin with tau^2, the least that the
    algorithm allows."""
    rate, beta1, tau = settings.learning_rate, settings.beta1, settings.tau

    def step(weights: Values, delta: Values, vectors: Vectors) -> tuple[Values, Vectors]:
        squares = gathered(vectors[1].astype(np.float64), delta * delta)
        moved = beta1 * vectors[0].astype(np.float64) + (1 - beta1) * delta
        return weights + rate * moved / (np.sqrt(squares) + tau), (as_vector(moved), as_vector(squares))

    return Optimizer({"momentum": 0.0, "squares": tau**2}, step)
