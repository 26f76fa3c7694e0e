"""The clients' own metrics as those of a round: pure functions."""

import math
from collections.abc import Sequence

import msgspec

from cloud.averaging.rules import rule_of
from cloud.averaging.weighing import counted_examples
from cloud.settings import Averaging
from cloud.state.spread import Spread, spread_of
from protocol.messages import Report

MAX_METRICS, MAX_METRIC_NAME = 40, 64
"""So many metrics of a round are recorded, with names of so many characters."""


class Pooled(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of a round, how each differs between the clients, and how many of these had one that is no finite
    number."""

    metrics: dict[str, float]
    spreads: dict[str, Spread]
    not_finite: dict[str, int]


def pooled_metrics(settings: Averaging, reports: Sequence[Report], inclusions: Sequence[float] | None = None) -> Pooled:
    """The clients' own metrics: `before` of the global model, `after` of the local ones, `average` of the global
    models' moving average. They are averaged by the examples that count, over the probabilities with which the clients
    were selected, of which None is the same for all; of a robust rule it is the median, which takes no one's word.

    Those that are not finite are not averaged, but counted: how many clients had one, by metric.

    A metric that only some clients report is averaged over these. One with a name longer than MAX_METRIC_NAME is left
    out; and of more than MAX_METRICS, those that the fewest clients report, which are the last ones. A client may make
    up as many as it likes, and a round's record has to stay small.
    """
    reported: dict[str, list[tuple[float | None, float]]] = {}
    counted = counted_examples(settings, [report.examples for report in reports])
    inclusions = inclusions or [1.0] * len(reports)
    weights = [examples / inclusion for examples, inclusion in zip(counted, inclusions, strict=True)]
    for report, weight in zip(reports, weights, strict=True):
        for when, metrics in report.measured.items():
            for name, value in metrics.items():
                if len(name) <= MAX_METRIC_NAME:
                    reported.setdefault(f"{name}_{when}", []).append((value, weight))
    pooled: dict[str, float] = {}
    spreads: dict[str, Spread] = {}
    not_finite: dict[str, int] = {}
    for key in sorted(reported, key=lambda key: (-len(reported[key]), key))[:MAX_METRICS]:
        finite = [(value, weight) for value, weight in reported[key] if value is not None and math.isfinite(value)]
        if finite:
            pooled[key] = _median(finite) if rule_of(settings.rule).is_robust else _mean(finite)
            spreads[key] = spread_of([value for value, _ in finite], key, [weight for _, weight in finite])
        if len(finite) < len(reported[key]):
            not_finite[key] = len(reported[key]) - len(finite)
    return Pooled(metrics=pooled, spreads=spreads, not_finite=not_finite)


def _mean(values: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for _, weight in values)
    least, largest = min(value for value, _ in values), max(value for value, _ in values)
    mean = sum(value * (weight / total) for value, weight in values)  # of shares, that none becomes infinite
    return min(max(mean, least), largest)


def _median(values: Sequence[tuple[float, float]]) -> float:
    ordered = sorted(value for value, _ in values)
    middle = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return middle[0] if middle[0] == middle[1] else middle[0] / 2 + middle[1] / 2  # whose sum may be infinite
