"""How much each update counts: pure functions of the settings and of what was recorded of the updates."""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.averaging.robust import clipping_factors
from cloud.averaging.sources import Source
from cloud.settings import Averaging

Weights = NDArray[np.float64]


class Weighing(msgspec.Struct, frozen=True, eq=False):
    """How updates count, all float64 [clients]: `weights` of their parameters in a mean, and `value_weights` of their
    buffers and integers, 0 of those that don't count; `scales`, which the changes of parameters are multiplied with
    before any rule sees them. No update's L2 norm is over its `norms` then."""

    weights: Weights
    value_weights: Weights
    scales: Weights
    norms: Weights

    def total(self, clients: Iterable[int]) -> float:
        """The sum of some clients' weights."""
        return math.fsum(self.weights[client] for client in clients)

    def value_total(self, clients: Iterable[int]) -> float:
        """The same of buffers and integers."""
        return math.fsum(self.value_weights[client] for client in clients)


def weigh(settings: Averaging, sources: Sequence[Source]) -> Weighing:
    """How the updates of a round count.

    A weight is 1, or the number of examples (McMahan et al., 2017, algorithm 1), divided by sqrt(age + 1) if the update
    is late (Nguyen et al., FedBuff, 2022, section 5). What is late so counts for less beside what is not; but the step
    that all take together is no smaller, where FedBuff's algorithm 1 divides the weighted sum by the number of updates.

    If `normalize_steps` says so, parameters are scaled by tau_eff / tau_i, where tau_i are the steps that a client took
    and tau_eff their weighted mean (Wang et al., FedNova, 2020, eq. 8). With a `clip_norm`, they are scaled by
    min(1, clip_norm / norm). Buffers and integers are values, not steps: nothing scales them. They don't count if it
    can't be known any more which values they are.
    """
    by_examples = settings.rule in ("weighted", "median", "trimmed_mean")
    counts = [source.report.examples if by_examples else 1 for source in sources]
    weights = np.array(counts, np.float64) / np.sqrt([source.age + 1.0 for source in sources])
    value_weights = np.where([source.base is None for source in sources], 0.0, weights)
    scales = np.ones(len(sources))
    norms = np.array([source.norm for source in sources])
    if settings.clip_norm is not None:
        scales = clipping_factors(norms, settings.clip_norm)
    if settings.normalize_steps:
        steps = np.array([source.report.steps for source in sources], np.float64)
        scales = scales * (math.fsum(weights * steps) / math.fsum(weights) / steps)
    return Weighing(weights, value_weights, scales, norms * scales)
