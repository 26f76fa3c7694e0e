"""CSV files as programs and people write them: with any of the usual separators, gzipped or not."""

import csv
import gzip
import io
import zlib
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from cli.datasets.dataset import DatasetError

_SEPARATORS = ",;\t|"
_HEADER_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_GZIP = b"\x1f\x8b"


class Header(NamedTuple):
    """The first line of a CSV file: its columns, and what is between them."""

    columns: tuple[str, ...]
    separator: str


def read_header(path: Path) -> Header:
    """What the first line that is not blank says.

    Raises:
        DatasetError: there is none, it is no text in UTF-8, it has a column twice or only numbers.
    """
    with _opened(path) as file:
        try:
            start = file.read(_HEADER_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(path, error) from error
    if start.startswith(_UTF_16) or b"\0" in start[:1000]:
        raise DatasetError(f"{path} is no CSV file in UTF-8 (maybe it is in UTF-16, or no text): save it as CSV, UTF-8")
    try:
        text = start.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # else a character is cut where the header's part ends
            raise not_utf8(path) from error
        text = start.removeprefix(_BYTE_ORDER_MARK)[: error.start].decode(errors="ignore")
    lines = text.lstrip("\r\n")
    if not lines.strip():
        raise DatasetError(f"{path} is empty: it needs a line with the columns' names, and a line an example")
    if "\n" not in lines and "\r" in lines:
        raise DatasetError(f"{path} has lines that end as on Macs of old: save it again, with line feeds")
    separator = max(_SEPARATORS, key=lambda mark: (len(_first_row(lines, mark)), -_SEPARATORS.index(mark)))
    columns = tuple(_first_row(lines, separator))
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(f"{path} has two columns {twice!r}: give each a name of its own")
    if all(map(_is_number, columns)):
        raise DatasetError(
            f"{path} begins with numbers ({separator.join(columns[:4])}...): add a first line with the columns' names"
        )
    return Header(columns, separator)


def read_carefully(path: Path, header: Header) -> dict[str, list[str | None]]:
    """The columns of a file that polars refuses, by Python's own reader: slow, but it takes a quote within a value for
    what it is, and knows on which line it is.

    Raises:
        DatasetError: a row has more values than there are columns, or a quote is not closed, or it is no UTF-8.
    """
    columns: dict[str, list[str | None]] = {name: [] for name in header.columns}
    line = 1
    try:
        with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=header.separator, strict=True)
            for row in reader:
                if len(row) > len(columns):
                    raise DatasetError(
                        f"{path}, line {line}: {len(row)} values for {len(columns)} columns; quote values that have a "
                        f"{header.separator!r} in them"
                    )
                for values, value in zip_longest(columns.values(), row):
                    values.append(value or None)
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {line}: {error}; look for a quote that is not closed, and write one within quotes twice"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    for values in columns.values():
        del values[0]
    return columns


def not_utf8(path: Path) -> DatasetError:
    """The error for a file in another encoding, with the line where that shows."""
    line = 1
    with _opened(path) as file:
        for line, content in enumerate(file, 1):  # noqa: B007 - of use after the loop
            try:
                content.decode()
            except UnicodeDecodeError:
                break
    return DatasetError(
        f"{path}, line {line}: no UTF-8; if it is in Latin-1, as Excel's CSV often is: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8.csv"
    )


def _first_row(text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error:
        return []


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    return cast("BinaryIO", gzip.open(path)) if compressed else path.open("rb")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unreadable(path: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{path} can't be read: {error}; get the file again")
