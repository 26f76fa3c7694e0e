"""How updates count in an average: what a rule is given of it."""

import math
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]


class Weighing(msgspec.Struct, frozen=True, eq=False):
    """How updates count, all float64 [clients]: `weights` of their parameters in a mean, and `value_weights` of their
    buffers and integers, 0 of those that don't count; `scales`, which the changes of parameters are multiplied with
    before any rule sees them. No update's L2 norm is over its `norms` then. In a mean no integer
    counts for a change of more than `integer_limit`, up or down.

    Updates of a negative weight are clients' last ones (`cloud.averaging.last_updates`), and `sum_weights` is what each
    update counts for in the sum of these; None if there is none."""

    weights: Weights
    value_weights: Weights
    scales: Weights
    norms: Weights
    integer_limit: float = np.inf
    sum_weights: Weights | None = None

    def total(self, clients: Iterable[int]) -> float:
        """The sum of some clients' weights, without those of last updates."""
        return math.fsum(self.weights[client] for client in clients if self.weights[client] > 0)

    def value_total(self, clients: Iterable[int]) -> float:
        """The same of buffers and integers."""
        return math.fsum(self.value_weights[client] for client in clients)
