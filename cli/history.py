"""What every round of a run measured, from a run folder or from a deployment."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from cli.fetching import RUNS
from cli.model_warnings import number
from cli.screen import Screen
from cli.sparkline import BARS, sparkline
from cli.table import Table
from cloud.state.federations import UnknownFederationError
from cloud.state.metric_direction import direction
from cloud.state.records import FederationRecord, RoundResult
from cloud.state.spread import Spread
from operations.deployment import NoStackError
from protocol import names
from protocol.messages import MEASURED, Numbers
from reporting.cells import cell, short
from reporting.records import SUMMARY, RoundLine

_BARS_WIDE = 20
_BEST = {1: max, -1: min}


class UnknownMetricError(LookupError):
    """No round has a metric of this name."""


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a round. Of `metrics`, those on held-out data have names that begin with `held_out_`; of the
    others `spreads` has how they differ between the devices."""

    round: int
    status: str
    reason: str | None = None
    ended_at: float | None = None
    accepted: int = 0
    spent_usd: float | None = None
    metrics: Numbers = {}
    spreads: dict[str, Spread] = {}


def is_folder(name: str) -> bool:
    """Whether a run folder is meant, and no federation: it has a `/` in it, or is no name that a federation may have,
    or is the path of a run folder."""
    if "/" in name or (Path(name) / SUMMARY).is_file():
        return True
    try:
        names.check_federation(name)
    except names.InvalidNameError:
        return True
    return False


@contextmanager
def taken_for_a_federation(run: str, stack: str | None) -> Iterator[None]:
    """If nothing comes of it, say that a name was not taken for that of a run folder, and where there is one."""
    try:
        yield
    except (BotoCoreError, ClientError, NoStackError, UnknownFederationError) as error:
        if stack is None:
            there = RUNS / run
            meant = f"is {there} meant?" if (there / SUMMARY).is_file() else "name one with its path, such as runs/june"
            error.add_note(f"a run folder {run} is not here, so a federation was looked for; {meant}")
        raise


def rows_of_lines(lines: Iterable[RoundLine]) -> Iterator[HistoryRow]:
    """From a run folder."""
    for line in lines:
        held_out = {f"held_out_{name}": value for name, value in line.held_out.items()}
        yield HistoryRow(
            round=line.round,
            status=line.status,
            reason=line.reason,
            ended_at=line.ended_at,
            accepted=line.accepted,
            spent_usd=line.spent_usd,
            metrics=held_out | line.metrics,
            spreads=line.spreads,
        )


def rows_of_results(federation: FederationRecord, results: Iterable[RoundResult]) -> Iterator[HistoryRow]:
    """From a deployment: the rounds that have ended."""
    for result in results:
        if result.round <= federation.round:
            yield HistoryRow(
                round=result.round,
                status=result.status,
                reason=result.reason,
                ended_at=result.closed_at,
                accepted=result.accepted,
                spent_usd=result.spent_usd,
                metrics=dict(result.metrics or {}),
                spreads=result.spreads,
            )


def chosen(rows: Sequence[HistoryRow], metrics: Sequence[str]) -> list[str]:
    """The names of the metrics to be shown, in the order in which rounds had them: all, or those that are asked for, by
    their whole name or by that of the task's metric.

    Raises:
        UnknownMetricError: see there; the text names those that there are.
    """
    there = list(dict.fromkeys(name for row in rows for name in row.metrics))
    for asked in metrics:
        if not any(_is_of(name, asked) for name in there):
            raise UnknownMetricError(f"no round has a metric {asked!r}: there are {', '.join(there) or 'none'}")
    return [name for name in there if not metrics or any(_is_of(name, asked) for asked in metrics)]


def narrowed(row: HistoryRow, metrics: Sequence[str]) -> HistoryRow:
    """A round with no other metrics than these."""
    return msgspec.structs.replace(
        row,
        metrics={name: row.metrics[name] for name in metrics if name in row.metrics},
        spreads={name: row.spreads[name] for name in metrics if name in row.spreads},
    )


def _is_of(name: str, asked: str) -> bool:
    return asked in (name, name.removeprefix("held_out_"), *(name.removesuffix(f"_{when}") for when in MEASURED))


def show(screen: Screen, rows: Sequence[HistoryRow], metrics: Sequence[str], *, has_worst: bool = False) -> None:
    """A table, and on a terminal a curve of each metric; with the worst tenth of the devices, if it is to have that."""
    if not rows:
        screen.line("no round has ended yet")
        return

    def told(row: HistoryRow, name: str) -> str:
        spread = row.spreads.get(name) if has_worst else None
        return _shown(row, name) + (f", worst tenth {number(spread.worst)}" if spread else "")

    cells = [
        (str(row.round), row.status, str(row.accepted), *(told(row, name) for name in metrics), row.reason or "")
        for row in rows
    ]
    columns = ("round", "status", "updates", *map(short, metrics), "reason")
    if not any(row.reason for row in rows):
        columns, cells = columns[:-1], [row[:-1] for row in cells]
    screen.table(Table(columns=columns, rows=cells, texts=frozenset({"status", "reason"})))
    if screen.is_terminal and screen.can_show(BARS):
        curves = [_curve(rows, name) for name in metrics]
        screen.table(Table(columns=("metric", "first", "curve", "last", "best", "in round"), rows=curves))


def _shown(row: HistoryRow, name: str) -> str:
    if name not in row.metrics:
        return ""
    value = row.metrics[name]
    return "not finite" if value is None else number(value)


def _curve(rows: Sequence[HistoryRow], name: str) -> tuple[str, ...]:
    found = [(value, row.round) for row in rows if (value := row.metrics.get(name)) is not None]
    if not found:
        return (short(name), "not finite", "", "", "", "")
    bars = sparkline([row.metrics.get(name) for row in rows], _BARS_WIDE)
    curve = (short(name), number(found[0][0]), bars, number(found[-1][0]))
    better = _BEST.get(direction(name))
    if better is None:
        return (*curve, "", "")
    best = better(value for value, _ in found)
    return (*curve, number(best), str(next(round_number for value, round_number in found if value == best)))


def csv_rows(rows: Iterable[HistoryRow], metrics: Sequence[str]) -> Iterator[Sequence[object]]:
    """The rounds as a table for programs, its first row the names of the columns."""
    yield ("round", "status", "ended_at", "updates", *map(cell, metrics), "reason")
    for row in rows:
        values = (row.metrics.get(name, "") for name in metrics)
        numbers = ("nan" if value is None else value for value in values)
        yield (row.round, row.status, row.ended_at, row.accepted, *numbers, cell(row.reason or ""))
