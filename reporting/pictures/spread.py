"""How a metric differs between the devices of each round: pure."""

from collections import defaultdict
from collections.abc import Iterable

from cloud.state.metric_direction import direction
from cloud.state.spread import Spread, spread_of
from reporting.records import ClientRow


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
