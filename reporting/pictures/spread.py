"""How a metric differs between devices: pure."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from cloud.state.metric_direction import direction
from reporting.records import ClientRow


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over the devices of a round: the mean of the worst tenth of them, as Li et al. (2020, section 5.1) have
    it, the median, the mean of the best tenth, and the standard deviation. If the metric's name does not tell what is
    better, less is worse."""

    worst: float
    median: float
    best: float
    deviation: float


def spread_of(values: Sequence[float], metric: str) -> Spread:
    """Of one value a device, at least one."""
    ranked = sorted(values, reverse=direction(metric) < 0)
    tenth = math.ceil(len(ranked) / 10)
    return Spread(
        worst=mean(ranked[:tenth]),
        median=mean(ranked[(len(ranked) - 1) // 2 : len(ranked) // 2 + 1]),
        best=mean(ranked[-tenth:]),
        deviation=_deviation(ranked),
    )


def spreads(rows: Iterable[ClientRow]) -> dict[str, dict[int, Spread]]:
    """Metric -> round -> its spread over the devices that have it; metrics in the order in which rounds had them."""
    values: defaultdict[str, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for metric, value in row.metrics.items():
            if value is not None:
                values[metric][row.round].append(value)
    return {
        metric: {number: spread_of(found, metric) for number, found in rounds.items()}
        for metric, rounds in values.items()
    }


def shared_first(metrics: Iterable[str]) -> list[str]:
    """Those of the global model, which is what devices share, before those of their own."""
    return sorted(metrics, key=lambda metric: not metric.endswith("_before"))


def worst_first(values: dict[str, float], metric: str) -> list[tuple[str, float]]:
    """The devices from the worst to the best, of one value each."""
    sign = -1 if direction(metric) < 0 else 1
    return sorted(values.items(), key=lambda pair: (sign * pair[1], pair[0]))


def mean(values: Sequence[float]) -> float:
    """Of one value at least, also of values whose sum no float could have."""
    return math.fsum(value / len(values) for value in values)


def _deviation(values: Sequence[float]) -> float:
    try:
        return statistics.pstdev(values)
    except OverflowError:  # of values that are nearly too large for a float
        return math.inf
