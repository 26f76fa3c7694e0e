"""The run in a dozen numbers."""

import math

import htpy as h

from reporting.cells import printable, short
from reporting.pictures import formats
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.sections.learning import HELD_OUT
from reporting.pictures.tables import Cell, facts, table
from reporting.records import MetricSummary

_SOURCES = {"run": "on this machine, with every real part", "simulate": "simulated", "aws": "in AWS or a sandbox"}


def overview(run: RecordedRun) -> h.Node:
    """How it stands, and what it came to."""
    summary, totals = run.summary, run.summary.totals
    failed = [("failed", totals.failed), ("refused", totals.refused), ("vanished", totals.vanished)]
    clock = "simulated time" if summary.clock == "simulated" else "time"
    pairs: list[tuple[str, Cell]] = [
        ("status", f"{summary.status}, {_SOURCES[summary.source]}"),
        ("rounds with a new model", f"{totals.closed:,} of {summary.rounds_asked:,}"),
        ("rounds without", f"{totals.aborted:,}"),
        ("devices", f"{len({row.client for row in run.clients}):,}"),
        ("updates that count", f"{totals.accepted:,}"),
        ("without an update", ", ".join(f"{count:,} {what}" for what, count in failed if count) or "none"),
        (clock, formats.seconds(totals.round_s)),
        ("to the devices", formats.size(totals.bytes_down)),
        ("from the devices", formats.size(totals.bytes_up)),
    ]
    if run.costs is not None:
        asked = math.fsum(amount for items in run.costs.by_round.values() for amount in items.values())
        pairs.append(("dollars in AWS, estimated", formats.dollars(asked)))
    return [
        h.p(".problem")[h.strong["Why: "], printable(summary.reason)] if summary.reason else None,
        facts(pairs),
        _metrics(run),
    ]


def _metrics(run: RecordedRun) -> h.Node:
    metrics = run.summary.metrics
    rows = [(short(f"{HELD_OUT}{name}"), *_values(found)) for name, found in metrics.held_out.items()]
    rows += [(short(name), *_values(found)) for name, found in metrics.clients.items()]
    if not rows:
        return None
    return [
        h.p(".note")[
            "What begins with held_out_ is of the new model, on data that no device has. Others are on the devices' ",
            "own data: what ends in _before is of the global model that they got, what ends in _after of local ones.",
        ],
        table("Metrics", ("metric", "last", "best", "in round"), rows),
    ]


def _values(found: MetricSummary) -> tuple[str, str, str]:
    best = ("", "") if found.best is None else (formats.number(found.best.value), f"{found.best.round:,}")
    return formats.number(found.last.value), *best
