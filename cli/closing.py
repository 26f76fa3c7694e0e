"""What a run came to, in a few lines: pure, of what its folder has."""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from cli.model_warnings import named_value
from cloud.state.metric_direction import direction
from reporting.cells import short
from reporting.pictures import formats
from reporting.pictures.device_figures import device_figures
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.sections.failures import groups_of
from reporting.pictures.spread import shared_first, spreads, worst_first
from reporting.records import MODEL, STEPS, MetricSummary

Row = tuple[str, str]
"""What is told, and a text; what goes on with the row before it is called ""."""

_METRICS = 4
_REASONS = 3
_REASON_LENGTH = 200


def closing(run: RecordedRun, folder: Path) -> list[Row]:
    """Model, metrics, worst device, failures, time, dollars."""
    return [*_model(run, folder), *_metrics(run), *_worst(run), *_failures(run), *_time(run), *_dollars(run)]


def _model(run: RecordedRun, folder: Path) -> Iterator[Row]:
    model, is_new = run.summary.model, run.summary.totals.closed
    if model is None or not is_new:
        yield "model", "no round made one"
    else:
        yield "model", f"{folder / MODEL}, of round {model.round:,}, {formats.size(model.bytes)}"


def _metrics(run: RecordedRun) -> Iterator[Row]:
    found, of = run.summary.metrics.held_out, "of the global model on held-out data"
    if not found:
        clients = run.summary.metrics.clients
        found = {name.removesuffix("_after"): one for name, one in clients.items() if name.endswith("_after")}
        of = "of the devices' models"
    label = "metrics"
    for name, one in list(found.items())[:_METRICS]:
        yield label, f"{short(name)} {of} {named_value(name, one.last.value)}{_best(name, one)}"
        label = ""


def _best(name: str, one: MetricSummary) -> str:
    if one.best is None:
        return ""
    return f"; the best {named_value(name, one.best.value)} in round {one.best.round:,}"


def _worst(run: RecordedRun) -> Iterator[Row]:
    """By the metric of the global model on the devices' own data that says most of all what is worse."""
    ranked = sorted(shared_first(spreads(run.clients)), key=lambda metric: direction(metric) == 0)
    if not ranked:
        return
    metric = ranked[0]
    every = device_figures(run.clients)
    last = {name: value for name, one in every.items() if (value := one.metrics.get(metric)) is not None}
    (name, value), *_ = worst_first(last, metric)
    median = named_value(metric, statistics.median(last.values()))
    yield "worst device", f"{name}: {short(metric)} {named_value(metric, value)}; the median is {median}"


def _failures(run: RecordedRun) -> Iterator[Row]:
    totals = run.summary.totals
    counts = [("failed", totals.failed), ("refused", totals.refused), ("vanished", totals.vanished)]
    told = [f"{count:,} {what}" for what, count in counts if count]
    if totals.aborted:
        told.append(f"{formats.counted(totals.aborted, 'round')} without a model")
    yield "failures", ", ".join(told) or "none"
    for group in groups_of(run)[:_REASONS]:
        reason = f"{group.what}: {group.reason}"
        cut = f"{reason[:_REASON_LENGTH]}..." if len(reason) > _REASON_LENGTH else reason
        yield "", f"{formats.counted(len(group.rounds), 'time')} {cut}"


def _time(run: RecordedRun) -> Iterator[Row]:
    """The first round starts processes: it is left out of the medians, if there are others."""
    lines = run.rounds[1:] or run.rounds
    if not any(line.round_s for line in lines):
        return
    clock = "simulated " if run.summary.clock == "simulated" else ""
    median = formats.seconds(statistics.median(line.round_s for line in lines))
    overhead = formats.seconds(statistics.median(line.round_s - line.training_s for line in lines))
    whole = formats.seconds(run.summary.totals.round_s)
    yield "time", f"{clock}{whole}; a round (median) {median}, of which {overhead} not local training"
    steps = {step: statistics.median(line.split.get(step, 0.0) for line in lines) for step in STEPS}
    if any(steps.values()):
        yield "", ", ".join(f"{step} {formats.seconds(seconds)}" for step, seconds in steps.items() if seconds)


def _dollars(run: RecordedRun) -> Iterator[Row]:
    if run.costs is None:
        return
    whole = math.fsum(amount for items in run.costs.by_round.values() for amount in items.values())
    would = "cost" if run.summary.source == "aws" else "would cost"
    yield "in AWS", f"these rounds {would} about {formats.dollars(whole)}, by the prices of {run.costs.region}"
