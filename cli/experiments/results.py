"""What the runs of an experiment come to: of each combination each metric's mean and range over the seeds, and which
combination is best. Pure, but for reading run folders."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from cli.experiments.metrics import NOTHING_KNOWN, Goal, Known, Metric
from cli.experiments.runs import PlannedRun
from cli.plurals import counted
from reporting.records import RoundLine
from reporting.run_folder import CorruptRunFolderError, NoRunFolderError, RunFolder


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """A run: its folder, beside the results, how it ended, and its metrics; None is one that it has not reached."""

    run: str
    seed: int
    status: Literal["done", "failed"]
    reason: str | None = None
    rounds: int = 0
    metrics: dict[str, float | None] = {}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over the seeds of a combination: of those runs that have it, which may be `missing` in others."""

    mean: float | None
    min: float | None
    max: float | None
    missing: int
    is_best: bool = False


class CombinationResult(msgspec.Struct, frozen=True, kw_only=True):
    """A combination: its settings, its metrics over the seeds, and its runs."""

    name: str
    settings: dict[str, Any]
    metrics: dict[str, Spread]
    runs: tuple[RunResult, ...]

    @property
    def failed(self) -> int:
        """How many of its runs did."""
        return sum(run.status == "failed" for run in self.runs)


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All of an experiment: `metrics` are its columns with their goals, `best` who is best in each."""

    out: str
    seeds: tuple[int, ...]
    metrics: dict[str, Goal]
    combinations: tuple[CombinationResult, ...]
    best: dict[str, tuple[str, ...]]

    @property
    def failed(self) -> list[tuple[CombinationResult, RunResult]]:
        """The runs that did."""
        return [(one, run) for one in self.combinations for run in one.runs if run.status == "failed"]


class RunRounds(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a run: its rounds, and why there are no more or no use of them."""

    planned: PlannedRun
    lines: tuple[RoundLine, ...]
    failure: str | None


def rounds_of(run: PlannedRun, failure: str | None) -> RunRounds:
    """What a run has left in its folder; `failure` is why it could not go on."""
    lines: tuple[RoundLine, ...] = ()
    try:
        folder = RunFolder(run.out)
        lines = tuple(folder.rounds())
        if not any(line.status == "closed" for line in lines):
            failure = failure or f"no round made a model: {_why(folder, lines[-1])}"
    except (NoRunFolderError, CorruptRunFolderError) as error:
        failure = failure or str(error)
    return RunRounds(planned=run, lines=lines, failure=failure)


def _why(folder: RunFolder, last: RoundLine) -> str:
    """Why a round made no model."""
    reasons = Counter(row.reason for row in folder.clients() if row.round == last.round and row.reason is not None)
    of_clients = [f"{counted(count, 'client')} {reason}" for reason, count in reasons.most_common(1)]
    return "; ".join([str(last.reason), *of_clients])


def known_in(runs: Iterable[RunRounds]) -> Known:
    """The metrics that rounds of these have had."""
    known = NOTHING_KNOWN
    for run in runs:
        for line in run.lines:
            known = known.including(line)
    return known


def results_of(
    out: Path,
    seeds: Sequence[int],
    metrics: Sequence[Metric],
    settings: Mapping[str, dict[str, Any]],
    runs: Sequence[RunRounds],
) -> Results:
    """The results. `settings` are those of each combination, in the order of the table."""
    combinations = [
        _combination(out, name, given, metrics, [run for run in runs if run.planned.combination == name])
        for name, given in settings.items()
    ]
    best = {metric.text: _best(metric, combinations) for metric in metrics}
    return Results(
        out=str(out),
        seeds=tuple(seeds),
        metrics={metric.text: metric.goal for metric in metrics},
        combinations=tuple(_marked(combination, best) for combination in combinations),
        best=best,
    )


def _combination(
    out: Path, name: str, settings: dict[str, Any], metrics: Sequence[Metric], runs: Sequence[RunRounds]
) -> CombinationResult:
    found = sorted((_run(out, run, metrics) for run in runs), key=lambda run: run.seed)
    return CombinationResult(
        name=name,
        settings=settings,
        metrics={metric.text: _spread([run.metrics.get(metric.text) for run in found]) for metric in metrics},
        runs=tuple(found),
    )


def _run(out: Path, run: RunRounds, metrics: Sequence[Metric]) -> RunResult:
    planned, failure = run.planned, run.failure
    return RunResult(
        run=planned.out.relative_to(out).as_posix(),
        seed=planned.options.seed,
        status="done" if failure is None else "failed",
        reason=failure,
        rounds=len(run.lines),
        metrics={metric.text: metric.value(run.lines) for metric in metrics} if failure is None else {},
    )


def _spread(values: Sequence[float | None]) -> Spread:
    having = [value for value in values if value is not None]
    missing = len(values) - len(having)
    if not having:
        return Spread(mean=None, min=None, max=None, missing=missing)
    return Spread(mean=math.fsum(having) / len(having), min=min(having), max=max(having), missing=missing)


def _best(metric: Metric, combinations: Sequence[CombinationResult]) -> tuple[str, ...]:
    """Those with the best mean, among those of which the fewest runs are without the metric."""
    ranks = {
        combination.name: (spread.missing, -metric.sign * spread.mean)
        for combination in combinations
        if (spread := combination.metrics[metric.text]).mean is not None
    }
    best = tuple(name for name, rank in ranks.items() if rank == min(ranks.values()))
    return best if len(best) < len(combinations) or len(best) == 1 else ()  # all are alike


def _marked(combination: CombinationResult, best: Mapping[str, tuple[str, ...]]) -> CombinationResult:
    marked = {
        text: msgspec.structs.replace(spread, is_best=combination.name in best[text])
        for text, spread in combination.metrics.items()
    }
    return msgspec.structs.replace(combination, metrics=marked)
