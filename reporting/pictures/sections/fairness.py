"""The worst tenth of the devices, and how far apart they are."""

from collections.abc import Mapping

import htpy as h

from cloud.state.spread import Spread
from reporting.cells import short
from reporting.pictures import formats
from reporting.pictures.across import by_round
from reporting.pictures.charts.curves import Curve, curves
from reporting.pictures.device_figures import device_figures
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.sections.learning import DRAWN_METRICS
from reporting.pictures.spread import shared_first, spreads, worst_first
from reporting.pictures.tables import behind, table

_WORST_DEVICES = 10
_FIGURES = ("worst tenth", "median", "best tenth", "standard deviation")


def fairness(run: RecordedRun) -> h.Node:
    """By round, of each metric that devices have of their own: worst tenth, median, best tenth."""
    found = spreads(run.clients)
    if not found or not run.rounds:
        return h.p["No device has told a metric of its own."]
    ranked = shared_first(found)
    return [
        h.p(".note")[
            "Of the devices' own values in a round: the mean of the worst tenth, the median, and the mean of the ",
            "best tenth. What ends in _before is of the global model, what ends in _after of each device's local one.",
        ],
        h.div(".charts")[(_chart(run, metric, found[metric]) for metric in ranked[:DRAWN_METRICS])],
        _worst(run, ranked[0]),
        behind("Every round's spread", _table(run, {metric: found[metric] for metric in ranked})),
    ]


def _chart(run: RecordedRun, metric: str, of_round: Mapping[int, Spread]) -> h.Element:
    having = [of_round.get(line.round) for line in run.drawn]
    drawn = [
        Curve("worst tenth", 0, [one.worst if one else None for one in having]),
        Curve("median", 1, [one.median if one else None for one in having]),
        Curve("best tenth", 2, [one.best if one else None for one in having]),
    ]
    return curves(metric, by_round(run.drawn), drawn, has_band=True)


def _worst(run: RecordedRun, metric: str) -> h.Element:
    figures = device_figures(run.clients)
    last = {name: value for name, one in figures.items() if (value := one.metrics.get(metric)) is not None}
    rows = (
        (name, formats.number(value), "" if (n := figures[name].examples) is None else f"{n:,}")
        for name, value in worst_first(last, metric)[:_WORST_DEVICES]
    )
    return table(
        f"The devices with the worst {short(metric)}, by their last value", ("device", short(metric), "examples"), rows
    )


def _table(run: RecordedRun, found: Mapping[str, Mapping[int, Spread]]) -> h.Element:
    listed = list(found.items())[:DRAWN_METRICS]
    rows = (
        (f"{line.round:,}", *(cell for _, of in listed for cell in _cells(of.get(line.round)))) for line in run.drawn
    )
    columns = ("round", *(f"{short(metric)}: {figure}" for metric, _ in listed for figure in _FIGURES))
    return table("Every round's spread over its devices", columns, rows)


def _cells(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return ("",) * len(_FIGURES)
    return tuple(map(formats.number, (spread.worst, spread.median, spread.best, spread.deviation)))
