"""What the time of rounds went to."""

import htpy as h

from reporting.pictures import formats
from reporting.pictures.across import by_round
from reporting.pictures.charts.stacks import Part, stacks
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.tables import behind, table
from reporting.records import STEPS


def time(run: RecordedRun) -> h.Node:
    """A bar a round, of its steps on the way of the client whose update came last."""
    lines = run.drawn
    if not lines:
        return h.p["No round has ended."]
    if not any(line.round_s for line in lines):
        return h.p["The rounds take no time: the simulation was given no devices."]
    found = [Part(step, number, [line.seconds_of(step) for line in lines]) for number, step in enumerate(STEPS)]
    steps = [part for part in found if any(part.values)]
    rows = (
        (
            f"{line.round:,}",
            formats.seconds(line.round_s),
            *(formats.seconds(line.seconds_of(part.name)) for part in steps),
            formats.seconds(line.training_s),
        )
        for line in lines
    )
    columns = ("round", "whole", *(part.name for part in steps), "longest training")
    return [
        h.p(".note")[
            "From the end of one round to the end of the next, on the way of the client whose update came last: the ",
            "cloud opens and notifies, the device downloads, trains and uploads, the cloud inspects, waits for ",
            "others, averages, and closes.",
        ],
        h.div(".charts")[stacks("Time of each round", by_round(lines), steps, shown=formats.seconds)],
        behind("Every round's time", table("Every round's time", columns, rows)),
    ]
