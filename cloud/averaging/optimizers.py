"""Server optimizers: how an averaged difference changes the model. Pure functions over blocks of coordinates.

All are element by element, in operations that IEEE 754 rounds in one way: any split into blocks gives the same bits. A
difference is local minus global, so a step adds it. They are for parameters alone: statistics and integers take the
plain mean.
"""

import numpy as np
from numpy.typing import NDArray

from cloud.settings import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, ServerOptimizer

Values = NDArray[np.float64]
State = tuple[NDArray[np.float32], ...]

_LARGEST = float(np.finfo(np.float32).max)


def state_names(optimizer: ServerOptimizer) -> tuple[str, ...]:
    """What an optimizer remembers of each coordinate: the names of its state's vectors, in their order."""
    match optimizer:
        case FedAvg():
            return ()
        case FedAvgM():
            return ("momentum",)
        case FedAdagrad() | FedAdam() | FedYogi():
            return ("momentum", "squares")


def initial_state(optimizer: ServerOptimizer, size: int) -> State:
    """The state before the first step, for `size` coordinates: momentum 0; squares tau^2, the least that algorithm 2 of
    Reddi et al. (2021) allows."""
    momentum = np.zeros(size, np.float32)
    match optimizer:
        case FedAvg():
            return ()
        case FedAvgM():
            return (momentum,)
        case FedAdagrad(tau=tau) | FedAdam(tau=tau) | FedYogi(tau=tau):
            return momentum, np.full(size, tau**2, np.float32)


def step(optimizer: ServerOptimizer, weights: Values, delta: Values, state: State) -> tuple[Values, State]:
    """The new weights and state of a block, from the averaged difference; nothing is changed in place.

    FedAvgM is that of Hsu et al. (2019), section 4.3; FedAdagrad, FedAdam and FedYogi are algorithm 2 of Reddi et al.
    (2021). The arithmetic is float64, the state is kept in float32: what that can't hold is kept as its largest number.
    """
    match optimizer:
        case FedAvg(learning_rate=rate):
            return weights + (delta if rate == 1.0 else rate * delta), ()
        case FedAvgM(learning_rate=rate, beta=beta):
            (momentum,) = state
            moved = beta * momentum.astype(np.float64) + delta
            return weights + rate * moved, (_kept(moved),)
        case FedAdagrad(learning_rate=rate, beta1=beta1, tau=tau):
            square = delta * delta
            squares = state[1].astype(np.float64) + square
        case FedAdam(learning_rate=rate, beta1=beta1, beta2=beta2, tau=tau):
            square = delta * delta
            squares = beta2 * state[1].astype(np.float64) + (1 - beta2) * square
        case FedYogi(learning_rate=rate, beta1=beta1, beta2=beta2, tau=tau):
            square = delta * delta
            before = state[1].astype(np.float64)
            squares = before - (1 - beta2) * square * np.sign(before - square)
    moved = beta1 * state[0].astype(np.float64) + (1 - beta1) * delta
    return weights + rate * moved / (np.sqrt(squares) + tau), (_kept(moved), _kept(squares))


def ema(previous: Values, new: Values, decay: float) -> Values:
    """The moving average of a block of the global model's weights, which weighs what was with `decay`."""
    return decay * previous + (1 - decay) * new


def _kept(values: Values) -> NDArray[np.float32]:
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
