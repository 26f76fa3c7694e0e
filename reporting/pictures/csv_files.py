"""The records of a run as CSV, of which a page has copies: shorter than the files of the folder."""

from collections.abc import Sequence

from reporting.cells import cell, csv_of
from reporting.records import STEPS, ClientRow, RoundLine

_OF_ROUND = tuple(
    field
    for field in RoundLine.__struct_fields__
    if field not in {"split", "metrics", "held_out", "not_finite", "warnings"}
)
_OF_CLIENT = tuple(field for field in ClientRow.__struct_fields__ if field != "metrics")


def rounds_csv(lines: Sequence[RoundLine]) -> str:
    """A row a round; steps and metrics are columns."""
    metrics = list(dict.fromkeys(name for line in lines for name in line.metrics))
    held_out = list(dict.fromkeys(name for line in lines for name in line.held_out))
    header = [*_OF_ROUND, *(f"{step}_s" for step in STEPS), *(f"held_out_{name}" for name in held_out), *metrics]
    rows = (
        [
            *(_written(getattr(line, field)) for field in _OF_ROUND),
            *(_written(line.split.get(step)) for step in STEPS),
            *(_measured(line.held_out, name) for name in held_out),
            *(_measured(line.metrics, name) for name in metrics),
        ]
        for line in lines
    )
    return csv_of([[cell(name) for name in header], *rows])


def clients_csv(rows: Sequence[ClientRow]) -> str:
    """A row a client and round, with four digits of each number that is not whole."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    written = (
        [
            *(_written(getattr(row, field), digits=4) for field in _OF_CLIENT),
            *(_measured(row.metrics, name, digits=4) for name in metrics),
        ]
        for row in rows
    )
    return csv_of([[*_OF_CLIENT, *map(cell, metrics)], *written])


def _measured(values: dict[str, float | None], name: str, digits: int | None = None) -> str:
    return "nan" if name in values and values[name] is None else _written(values.get(name), digits)


def _written(value: object, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return cell(value)
    return f"{value:.{digits}g}" if digits and isinstance(value, float) else str(value)
