"""How a metric differs between the devices of a round: pure."""

import math
import statistics
from collections.abc import Sequence

import msgspec

from cloud.state.metric_direction import direction


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over so many `devices`: the mean of the worst tenth of them, as Li et al. (2020, section 5.1) have it,
    the median, the mean of the best tenth, and the standard deviation. If the metric's name does not tell what is
    better, less is worse.

    `effective` is how many devices of equal weights would give as sure a mean (Kish, 1965, section 8.2). A deviation
    that would not be finite is None.
    """

    devices: int
    worst: float
    median: float
    best: float
    deviation: float | None = None
    effective: float


def spread_of(values: Sequence[float], metric: str, weights: Sequence[float] | None = None) -> Spread:
    """Of one value a device, at least one. Without weights all weigh the same."""
    ranked = sorted(values, reverse=direction(metric) < 0)
    tenth = math.ceil(len(ranked) / 10)
    return Spread(
        devices=len(ranked),
        worst=mean(ranked[:tenth]),
        median=mean(ranked[(len(ranked) - 1) // 2 : len(ranked) // 2 + 1]),
        best=mean(ranked[-tenth:]),
        deviation=_deviation(ranked),
        effective=len(values) if weights is None else _effective(weights),
    )


def mean(values: Sequence[float]) -> float:
    """Of one value at least, also of values whose sum no float could have."""
    return math.fsum(value / len(values) for value in values)


def _deviation(values: Sequence[float]) -> float | None:
    try:
        deviation = statistics.pstdev(values)
    except OverflowError:  # of values that are nearly too large for a float
        return None
    return deviation if math.isfinite(deviation) else None


def _effective(weights: Sequence[float]) -> float:
    largest = max(weights)
    shares = [weight / largest for weight in weights]
    return math.fsum(shares) ** 2 / math.fsum(share * share for share in shares)
