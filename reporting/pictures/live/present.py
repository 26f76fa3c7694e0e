"""The present round: what the federation is at, its fleet by state, and who has failed in it."""

from collections import Counter

import htpy as h

from reporting.cells import printable
from reporting.pictures import formats
from reporting.pictures.charts.plane import legend_of
from reporting.pictures.charts.stacks import bar
from reporting.pictures.tables import Cell, facts, table
from reporting.view import STATES, WITHOUT_UPDATE, View

_LISTED = 100


def present(view: View, now: float) -> h.Node:
    """Of a moment."""
    pairs: list[tuple[str, Cell]] = [
        ("round", f"{view.round:,} of {view.rounds:,}"),
        ("state", view.state),
    ]
    if (record := view.open) is not None:
        pairs.append(("open for", formats.seconds(max(0.0, now - record.opened_at))))
        if record.status == "open":
            pairs.append(("deadline in", formats.seconds(max(0.0, record.deadline - now))))
        pairs.append(("updates that count", f"{view.counting:,}, with a target of {record.target:,}"))
    if view.spent_usd is not None:
        pairs.append(("dollars in AWS, estimated", formats.dollars(view.spent_usd)))
    return [
        h.p(".problem")[printable(view.held_by)] if view.held_by else None,
        facts(pairs),
        _fleet(view),
        _failures(view),
    ]


def headline(view: View) -> str:
    """What it is at, in a sentence, for who hears the page."""
    if view.held_by is not None:
        return printable(view.held_by)
    missing = sum(one.state in WITHOUT_UPDATE for one in view.devices())
    without = f", {formats.counted(missing, 'device')} without an update" if missing else ""
    return f"Round {view.round:,} of {view.rounds:,}: {view.state}{without}"


def _fleet(view: View) -> h.Node:
    counts = Counter(one.state for one in view.devices())
    if not counts:
        return h.p["No round is open."]
    told = [(f"{counts[state]:,} {state}", number) for number, state in enumerate(STATES) if counts[state]]
    parts = [(number, float(counts[state])) for number, state in enumerate(STATES)]
    return [
        h.h3["Its devices"],
        h.div(".fleet")[bar(parts, float(counts.total()), ", ".join(text for text, _ in told))],
        legend_of(told, "part"),
    ]


def _failures(view: View) -> h.Node:
    failing = [one for one in view.devices() if one.state in WITHOUT_UPDATE]
    if not failing:
        return None
    caption = f"{formats.counted(len(failing), 'device')} without an update in this round"
    if len(failing) > _LISTED:
        caption += f"; the first {_LISTED}"
    rows = ((one.name, one.state, one.reason or "") for one in failing[:_LISTED])
    return table(caption, ("device", "state", "reason"), rows, frozenset({"state", "reason"}))
