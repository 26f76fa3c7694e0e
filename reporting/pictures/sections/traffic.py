"""Bytes and dollars."""

import itertools
import math

import htpy as h

from reporting.cells import printable
from reporting.pictures import formats
from reporting.pictures.across import by_round
from reporting.pictures.charts.curves import Curve, curves
from reporting.pictures.charts.stacks import Part, stacks
from reporting.pictures.recorded_run import Costs, RecordedRun
from reporting.pictures.tables import behind, table


def traffic(run: RecordedRun) -> h.Node:
    """What went to and from the devices, and what AWS asks for the rounds."""
    lines, costs = run.drawn, run.costs
    if not lines:
        return h.p["No round has ended."]
    moved = [
        Part("models to devices", 0, [float(line.bytes_down) for line in lines]),
        Part("updates from devices", 1, [float(line.bytes_up) for line in lines]),
    ]
    charts = [stacks("Bytes of each round", by_round(lines), moved, shown=formats.size)]
    of_round = {} if costs is None else {n: math.fsum(items.values()) for n, items in costs.by_round.items()}
    if of_round:
        sums = dict(zip(of_round, itertools.accumulate(of_round.values()), strict=True))
        so_far = Curve("dollars so far", 0, [sums.get(line.round) for line in lines])
        charts.append(curves("Dollars in AWS", by_round(lines), [so_far], shown=formats.dollars))
    rows = (
        (
            f"{line.round:,}",
            f"{line.bytes_down:,}",
            f"{line.bytes_up:,}",
            formats.dollars(of_round[line.round]) if line.round in of_round else "",
        )
        for line in lines
    )
    columns = ("round", "bytes to devices", "bytes from devices", "dollars")
    return [
        h.div(".charts")[charts],
        h.p(".note")["What the rounds would cost is not known: there is no model, or no price."]
        if costs is None
        else _items(costs, run.summary.source == "aws"),
        behind("Every round's bytes and dollars", table("Every round's bytes and dollars", columns, rows)),
    ]


def _items(costs: Costs, is_of_an_account: bool) -> h.Node:
    totals: dict[str, float] = {}
    for items in costs.by_round.values():
        for name, amount in items.items():
            totals[name] = totals.get(name, 0.0) + amount
    rounds = len(costs.by_round)
    rows = [(name, formats.dollars(amount), formats.dollars(amount / rounds)) for name, amount in totals.items()]
    whole = math.fsum(totals.values())
    rows.append(("together", formats.dollars(whole), formats.dollars(whole / rounds)))
    told = "what these rounds cost, if they were in AWS" if is_of_an_account else "what these rounds would cost in AWS"
    return [
        h.p(".note")[
            f"An estimate of {told}, by the prices of {printable(costs.region)}, as fedgrass plan makes it: as if all ",
            "clients that were selected had sent updates. What a month costs, with or without rounds, is not in it.",
        ],
        table("Dollars by what is paid for", ("what is paid for", "all rounds", "a round"), rows),
    ]
