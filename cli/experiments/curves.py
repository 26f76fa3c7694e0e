"""How a metric went, round by round, in the runs of each combination: mean and range over the seeds. Pure."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from cli.experiments.metrics import Metric
from cli.experiments.results import Results, RunRounds

MAX_LINES = 12


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A combination's line. Of the rounds that all of its runs have: `mean`, `low` and `high` of the metric, and when
    the round ended, in simulated seconds, on the average."""

    combination: str
    rounds: tuple[int, ...]
    seconds: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """The curves of a metric: of the best combinations, if there are too many. So many are `left_out`."""

    metric: str
    curves: tuple[Curve, ...]
    left_out: int

    @property
    def has_time(self) -> bool:
        """Whether simulated time goes on."""
        return any(curve.seconds[-1] > 0 for curve in self.curves)


def plots_of(metrics: Iterable[Metric], results: Results, runs: Sequence[RunRounds]) -> list[Plot]:
    """A plot for each metric that has columns in the table, in the order of the first of them."""
    first: dict[str, Metric] = {}
    for metric in metrics:
        first.setdefault(metric.of, metric)
    return [plot for metric in first.values() if (plot := _plot(metric, results, runs)).curves]


def _plot(metric: Metric, results: Results, runs: Sequence[RunRounds]) -> Plot:
    curves = []
    for combination in results.combinations:
        of_it = [run for run in runs if run.planned.combination == combination.name and run.failure is None]
        if (curve := _curve(combination.name, metric, of_it)) is not None:
            curves.append(curve)
    kept = curves
    if len(curves) > MAX_LINES:
        ranks = {each.name: each.metrics[metric.text] for each in results.combinations}

        def rank(curve: Curve) -> tuple[int, float]:
            spread = ranks[curve.combination]
            return spread.missing, math.inf if spread.mean is None else -metric.sign * spread.mean

        best = {curve.combination for curve in sorted(curves, key=rank)[:MAX_LINES]}
        kept = [curve for curve in curves if curve.combination in best]
    return Plot(metric=metric.of, curves=tuple(kept), left_out=len(curves) - len(kept))


def _curve(name: str, metric: Metric, runs: Sequence[RunRounds]) -> Curve | None:
    values = [metric.by_round(run.lines) for run in runs]
    common = sorted(set.intersection(*(set(each) for each in values))) if values else []
    if not common:
        return None
    points = [[each[number][1] for each in values] for number in common]
    ended = [[each[number][0] for each in values] for number in common]
    return Curve(
        combination=name,
        rounds=tuple(common),
        seconds=tuple(math.fsum(times) / len(times) for times in ended),
        mean=tuple(math.fsum(point) / len(point) for point in points),
        low=tuple(map(min, points)),
        high=tuple(map(max, points)),
    )
