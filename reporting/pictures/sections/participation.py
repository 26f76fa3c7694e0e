"""Who took part, and in which rounds."""

from collections import Counter
from typing import get_args

import htpy as h

from reporting.pictures import formats
from reporting.pictures.across import by_round
from reporting.pictures.charts.stacks import Part, stacks, strip
from reporting.pictures.device_figures import DeviceFigures, device_figures
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.sections.devices import DRAWN_DEVICES
from reporting.pictures.tables import behind, table
from reporting.records import ClientState

STATES: tuple[ClientState, ...] = get_args(ClientState)
_HEIGHTS = (10, 8, 7, 6, 4, 2)


def participation(run: RecordedRun) -> h.Node:
    """A bar a round of how clients ended, and a strip a device; who sent least, first."""
    if not run.clients or not run.rounds:
        return h.p["No round with a device has ended."]
    lines = run.drawn
    counts = Counter((row.round, row.state) for row in run.clients)
    parts = [
        Part(state, number, [float(counts[line.round, state]) for line in lines]) for number, state in enumerate(STATES)
    ]
    seen = [part for part in parts if any(part.values)]
    rows = (
        (
            f"{line.round:,}",
            line.status,
            *(f"{counts[line.round, state]:,}" for state in STATES),
            f"{line.target:,}",
            f"{line.quorum:,}",
        )
        for line in lines
    )
    columns = ("round", "status", *STATES, "target", "quorum")
    return [
        h.div(".charts")[stacks("Clients of each round", by_round(lines), seen, shown="{:,.0f}".format, whole=True)],
        _strips(run),
        behind("Every round's clients", table("Every round's clients", columns, rows, frozenset({"status"}))),
    ]


def _strips(run: RecordedRun) -> h.Node:
    found = sorted(device_figures(run.clients).values(), key=lambda one: (one.states["accepted"] / one.asked, one.name))
    place = {line.round: at for at, line in enumerate(run.drawn)}
    marks: dict[str, list[int | None]] = {one.name: [None] * len(place) for one in found[:DRAWN_DEVICES]}
    for row in run.clients:
        if row.client in marks and row.round in place:
            marks[row.client][place[row.round]] = STATES.index(row.state)
    rows = (
        (one.name, strip(marks[one.name], _HEIGHTS, _told(one)), f"{one.states['accepted']:,} of {one.asked:,}")
        for one in found[:DRAWN_DEVICES]
    )
    more = len(found) - DRAWN_DEVICES
    first, last = run.rounds[0].round, run.rounds[-1].round
    return [
        h.p(".note")[f"{formats.counted(more, 'device')} that sent more left out."] if more > 0 else None,
        h.div(".bars")[
            table(
                "Rounds of each device, those who sent least first",
                ("device", f"round {first:,} to {last:,}", "updates"),
                rows,
            )
        ],
    ]


def _told(one: DeviceFigures) -> str:
    return ", ".join(f"{one.states[state]:,} {state}" for state in STATES if one.states[state])
