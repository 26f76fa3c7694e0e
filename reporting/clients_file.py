"""clients.csv: a row a client and round, a line a row.

The columns of metrics follow the others. Which there are shows with the first round that has them: the file is then
written anew with its old rows. What a device has written is in safe cells.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from protocol.messages import MEASURED
from reporting.cells import cell, csv_of, text_of
from reporting.files import AppendedFile, replacing
from reporting.records import ClientRow

MAX_METRICS = 64
"""So many columns of metrics there are: the first ones that rounds had. Clients name them as they like."""

_FIELDS = tuple(field for field in ClientRow.__struct_fields__ if field != "metrics")
_TEXTS = {"client", "state", "reason"}
_WHEN = tuple(f"_{when}" for when in MEASURED)


class ClientsFile:
    """The file, to be written. `keep` is the last round whose rows stay; those after it are removed.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._columns: tuple[str, ...] = ()
        size = 0
        if path.exists():
            with path.open("rb") as file:
                header = file.readline()
                if header.endswith(b"\n"):
                    self._columns = tuple(next(csv.reader([header.decode()])))
                    size = len(header)
                    size += sum(map(len, itertools.takewhile(lambda line: _belongs(line, keep), file)))
        self._file = AppendedFile(path)
        self._file.keep(size)
        self.keep()
        self._widen(_FIELDS)  # which another version may not have had

    def append(self, rows: Iterable[ClientRow], metrics: Iterable[str]) -> None:
        """Add the rows of a round, which has these metrics, in the place of those that no `keep` has followed."""
        self._file.keep(self._kept)
        known = _metrics_of(self._columns)
        new = [name for name in metrics if name not in known and cell(name) == name]
        self._widen(new[: MAX_METRICS - len(known)])
        self._file.append(csv_of(_cells(row, self._columns) for row in rows).encode())

    def keep(self) -> None:
        """Let the rows that were added last stay."""
        self._kept = self._file.size

    def sync(self) -> None:
        """Force what was written to the disk."""
        self._file.sync()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _widen(self, columns: Iterable[str]) -> None:
        """Add the columns that are not there yet; the rows that are there have nothing in them."""
        added = [column for column in columns if column not in self._columns]
        if not added:
            return
        with replacing(self._path) as wider, self._path.open("rb") as file:
            file.readline()
            wider.write(csv_of([(*self._columns, *added)]).encode())
            for line in file:
                wider.write(line.rstrip(b"\n") + b"," * len(added) + b"\n")
        self._file.close()
        self._columns = (*self._columns, *added)
        self._file = AppendedFile(self._path)
        self.keep()


def _belongs(line: bytes, last_round: int) -> bool:
    number = line.split(b",", 1)[0]
    return line.endswith(b"\n") and number.isdigit() and int(number) <= last_round


def read(path: Path, last_round: int) -> Iterator[ClientRow]:
    """The rows up to a round: what follows it was not finished.

    Raises:
        OSError: there is no such file.
        ValueError: a row is none; the text names its line.
    """
    with path.open(newline="\n", encoding="utf-8") as file:
        cells = csv.reader(line for line in file if line.endswith("\n"))
        header: list[str] | None = None
        for number in itertools.count(1):
            try:
                row = next(cells, None)
                if header is None:
                    header = row or []
                    metrics = _metrics_of(header)
                    continue
                if row is None:
                    return
                found = _row(dict(zip(header, row, strict=True)), metrics)
            except (ValueError, csv.Error) as error:
                raise ValueError(f"{path}:{number}: no row of a client: {error}") from error
            if found.round > last_round:
                return
            yield found


def _metrics_of(header: Sequence[str]) -> tuple[str, ...]:
    """The columns of metrics: those whose names end as theirs do."""
    return tuple(name for name in header if name.endswith(_WHEN))


def _row(cells: Mapping[str, str], metrics: Iterable[str]) -> ClientRow:
    given: dict[str, object] = {name: cells[name] for name in _FIELDS if cells.get(name)}
    for name in _TEXTS & given.keys():
        given[name] = text_of(cells[name])
    given["metrics"] = {name: _number(cells[name]) for name in metrics if cells[name]}
    return msgspec.convert(given, ClientRow, strict=False)


def _number(text: str) -> float | None:
    return None if text == "nan" else float(text)


def _cells(row: ClientRow, columns: Iterable[str]) -> list[Any]:
    metrics = {name: "nan" if value is None else value for name, value in row.metrics.items()}
    values = msgspec.structs.asdict(row) | metrics
    values["client"], values["reason"] = cell(row.client), cell(row.reason or "")
    return [values.get(column) for column in columns]
