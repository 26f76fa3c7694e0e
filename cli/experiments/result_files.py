"""The results of an experiment as files, and as a table to be read."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from cli.experiments.results import CombinationResult, Results, Spread
from cli.plurals import counted
from cli.table import Table
from reporting.cells import csv_of
from reporting.files import replacing

TABLE_CSV, TABLE_MARKDOWN, SUMMARY = "table.csv", "table.md", "summary.json"


def write(results: Results, out: Path) -> None:
    """All of them, each in one step."""
    summary = msgspec.structs.replace(results, out=".")
    contents = {
        TABLE_CSV: _csv(results),
        TABLE_MARKDOWN: _markdown(results),
        SUMMARY: msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n",
    }
    for name, text in contents.items():
        with replacing(out / name) as file:
            file.write(text.encode())


def table(results: Results) -> Table:
    """A row a combination, for people. What is best in a column has a star."""
    return Table(columns=("combination", *results.metrics, *_failed_column(results)), rows=list(_rows(results, "{} *")))


def told(spread: Spread) -> str:
    """A mean and its range over the seeds."""
    if spread.mean is None:
        return "-"
    text = f"{spread.mean:.4g}"
    if spread.min != spread.max:
        text += f" ({spread.min:.4g} to {spread.max:.4g})"
    return f"{text}, {spread.missing} without" if spread.missing else text


def _rows(results: Results, best: str) -> Iterator[tuple[str, ...]]:
    for combination in results.combinations:
        spreads = (combination.metrics[text] for text in results.metrics)
        cells = (best.format(told(spread)) if spread.is_best else told(spread) for spread in spreads)
        yield (combination.name, *cells, *(_failed(combination) for _ in _failed_column(results)))


def _failed_column(results: Results) -> tuple[str, ...]:
    return ("failed",) if results.failed else ()


def _failed(combination: CombinationResult) -> str:
    return f"{combination.failed} of {len(combination.runs)}" if combination.failed else ""


def _markdown(results: Results) -> str:
    columns = ["combination", *results.metrics, *_failed_column(results)]
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *_rows(results, "**{}**")]
    text = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    runs = f"{counted(len(results.seeds), 'seed')}: mean (smallest to largest). Bold: the best mean."
    failures = [f"- {one.name}, seed {run.seed}: {run.reason}" for one, run in results.failed]
    return "\n".join([text, runs, *(["", "Failed:", "", *failures] if failures else []), ""])


def _csv(results: Results) -> str:
    keys = list(dict.fromkeys(key for combination in results.combinations for key in combination.settings))
    of_metrics = ("mean", "min", "max", "missing", "best")
    header: list[object] = [
        "combination",
        *keys,
        "runs",
        "failed",
        *(f"{text}: {of}" for text in results.metrics for of in of_metrics),
    ]
    rows = [header]
    for combination in results.combinations:
        given = combination.settings
        row: list[object] = [combination.name, *(_cell(given[key]) if key in given else "" for key in keys)]
        row += [len(combination.runs), combination.failed]
        for name in results.metrics:
            spread = combination.metrics[name]
            row += [*map(_cell, (spread.mean, spread.min, spread.max)), spread.missing, int(spread.is_best)]
        rows.append(row)
    return csv_of(rows)


def _cell(value: object) -> str:
    """As JSON has it, texts without quotes."""
    return "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
