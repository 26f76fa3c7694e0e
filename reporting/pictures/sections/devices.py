"""One bar a device."""

from collections.abc import Sequence

import htpy as h

from reporting.pictures import formats
from reporting.pictures.charts.plane import legend_of
from reporting.pictures.charts.stacks import bar
from reporting.pictures.device_figures import PHASES, DeviceFigures, device_figures
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.tables import behind, table
from reporting.records import STEPS

DRAWN_DEVICES = 60
LISTED_DEVICES = 300

_COLORS = {phase: STEPS.index("notify") + number for number, phase in enumerate(PHASES)}
"""Those of the steps of a round; what a device waits for is in its notification."""


def devices(run: RecordedRun) -> h.Node:
    """What each device's time goes to, and what is known of it; the slowest first."""
    found = sorted(device_figures(run.clients).values(), key=lambda one: (-one.whole_s, one.name))
    if not found:
        return h.p["No device was asked."]
    timed = [one for one in found if one.phases_s]
    return [_bars(timed) if timed else h.p["No device has told its times."], _all(found)]


def _bars(found: Sequence[DeviceFigures]) -> h.Node:
    longest = found[0].whole_s
    rows = [
        (one.name, bar(_phases(one), longest, _told(one)), formats.seconds(one.whole_s))
        for one in found[:DRAWN_DEVICES]
    ]
    more = len(found) - len(rows)
    return [
        h.p(".note")[
            "The mean of a device's rounds, from its notification to its update; training is with both evaluations. ",
            f"{formats.counted(more, 'faster device')} left out." if more else None,
        ],
        legend_of([(p, color) for p, color in _COLORS.items() if any(one.phases_s.get(p) for one in found)], "part"),
        h.div(".bars")[table("Time of each device, the slowest first", ("device", "time", "whole"), rows)],
    ]


def _phases(one: DeviceFigures) -> list[tuple[int, float]]:
    return [(_COLORS[phase], value) for phase, value in one.phases_s.items()]


def _told(one: DeviceFigures) -> str:
    return ", ".join(f"{phase} {formats.seconds(value)}" for phase, value in one.phases_s.items())


def _all(found: Sequence[DeviceFigures]) -> h.Node:
    rows = (
        (
            one.name,
            f"{one.states['accepted']:,} of {one.asked:,}",
            *(formats.seconds(one.phases_s.get(phase)) for phase in PHASES),
            formats.seconds(one.turnaround_s),
            "" if one.examples is None else f"{one.examples:,}",
            formats.size(one.sent_bytes),
            one.reason or "",
        )
        for one in found[:LISTED_DEVICES]
    )
    caption = f"{formats.counted(len(found), 'device')}, the slowest first"
    if len(found) > LISTED_DEVICES:
        caption += f"; the first {LISTED_DEVICES}"
    columns = ("device", "updates", *PHASES, "turnaround", "examples", "sent", "last reason")
    return behind("Every device's numbers", table(caption, columns, rows, frozenset({"last reason"})))
