"""Every metric by round and by time."""

import htpy as h

from cloud.state.metric_direction import direction
from protocol.messages import MEASURED
from reporting.cells import short
from reporting.pictures import formats
from reporting.pictures.across import by_round, by_time
from reporting.pictures.charts.curves import Curve, curves
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.tables import behind, table
from reporting.records import RoundLine

DRAWN_METRICS = 12
"""A task's further metrics are in the table only."""

HELD_OUT = "held_out_"
_SAID = ("held out", *MEASURED)


def learning(run: RecordedRun) -> h.Node:
    """A chart of each metric of the task: on held-out data, of the global model and of the local ones."""
    values = {name: [metrics_of(line).get(name) for line in run.drawn] for name in _names(run)}
    if not values:
        return h.p["No round has measured anything."]
    of_task: dict[str, list[Curve]] = {}
    for name, found in values.items():
        metric, color = _parted(name)
        of_task.setdefault(metric, []).append(Curve(_SAID[color], color, found))
    ranked = sorted(of_task, key=lambda metric: -direction(metric))
    rounds, time = by_round(run.drawn), by_time(run)
    charts = []
    for metric in ranked[:DRAWN_METRICS]:
        drawn = of_task[metric]
        charts.append(curves(metric, rounds, drawn))
        if time is not None:
            charts.append(curves(f"{short(metric)} over time", time, drawn))
    rows = (
        (f"{line.round:,}", *(formats.number(of[name]) if name in (of := metrics_of(line)) else "" for name in values))
        for line in run.drawn
    )
    return [
        h.p(".note")[
            "Held out: the new model, on data that no device has. Before and after: on the devices' own data, the ",
            "global model that they got, their local ones after training, and the moving average of the global models.",
        ],
        h.p(".note")["The rounds take no time: the simulation was given no devices, so there is no curve by time."]
        if time is None
        else None,
        h.div(".charts")[charts],
        behind("Every round's metrics", table("Every round's metrics", ("round", *map(short, values)), rows)),
    ]


def metrics_of(line: RoundLine) -> dict[str, float | None]:
    """All of a round, those on held-out data first."""
    return {f"{HELD_OUT}{name}": value for name, value in line.held_out.items()} | line.metrics


def _names(run: RecordedRun) -> list[str]:
    names = dict.fromkeys(name for line in run.rounds for name in metrics_of(line))
    return sorted(names, key=lambda name: _parted(name)[1])


def _parted(name: str) -> tuple[str, int]:
    """The task's own metric, and where in _SAID is what it is of."""
    if name.startswith(HELD_OUT):
        return name.removeprefix(HELD_OUT), 0
    when = next((when for when in MEASURED if name.endswith(f"_{when}")), MEASURED[1])
    return name.removesuffix(f"_{when}"), _SAID.index(when)
