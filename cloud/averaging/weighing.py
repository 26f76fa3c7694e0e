"""How much each update counts: pure functions of the settings and of what was recorded of the updates."""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.averaging.robust import clipping_factors
from cloud.averaging.sources import Source
from cloud.settings import Averaging
from protocol.tensors import Kind

Weights = NDArray[np.float64]
Scales = dict[Kind, Weights]


class Weighing(msgspec.Struct, frozen=True, eq=False):
    """How updates count, all float64 [clients]: `weights` in a mean, and `scales`, which the values of a kind of tensor
    are multiplied with before any rule sees them. No update's L2 norm is over its `norms` then."""

    weights: Weights
    scales: Scales
    norms: Weights

    def total(self, clients: Iterable[int]) -> float:
        """The sum of some clients' weights."""
        return math.fsum(self.weights[client] for client in clients)


def weigh(settings: Averaging, sources: Sequence[Source]) -> Weighing:
    """How the updates of a round count.

    A weight is 1, or the number of examples (McMahan et al., 2017, algorithm 1), divided by sqrt(age + 1) if the update
    is late (Nguyen et al., FedBuff, 2022, section 5). What is late so counts for less beside what is not; but the step
    that all take together is no smaller, where FedBuff's algorithm 1 divides the weighted sum by the number of updates.

    If `normalize_steps` says so, parameters are scaled by tau_eff / tau_i, where tau_i are the steps that a client took
    and tau_eff their weighted mean (Wang et al., FedNova, 2020, eq. 8). With a `clip_norm`, all floating-point values
    are scaled by min(1, clip_norm / norm).
    """
    by_examples = settings.rule in ("weighted", "median", "trimmed_mean")
    counts = [source.report.examples if by_examples else 1 for source in sources]
    weights = np.array(counts, np.float64) / np.sqrt([source.age + 1.0 for source in sources])
    ones = np.ones(len(sources))
    clipped = normalized = ones
    norms = np.array([source.norm for source in sources])
    if settings.clip_norm is not None:
        clipped = clipping_factors(norms, settings.clip_norm)
    if settings.normalize_steps:
        steps = np.array([source.report.steps for source in sources], np.float64)
        normalized = math.fsum(weights * steps) / math.fsum(weights) / steps
    scales: Scales = {"parameter": clipped * normalized, "buffer": clipped, "integer": ones}
    return Weighing(weights, scales, norms * np.maximum(scales["parameter"], clipped))
