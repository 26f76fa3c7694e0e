"""Tables: CSV and Parquet files. polars reads them: one dependency, without pandas or pyarrow, fast, with types.

A CSV file's values stay the texts that they are, from the first byte to the last: a client's file has them as the
source has, whatever their types, and a column of mixed ones stops nothing.
"""

from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from cli.datasets import delimited
from cli.datasets.dataset import Column, DatasetError, Rows, Source, coded
from cli.datasets.files import default_label, place_columns
from cli.plurals import counted

_WHOLE = r"^-?(0|[1-9][0-9]{0,17})(\.0+)?$"


class Table:
    """Rows of a table as a data set; `places` has columns of each row that are no part of it, as its file's name."""

    def __init__(
        self, path: Path, frame: pl.DataFrame, separator: str | None, places: pl.DataFrame, notes: tuple[str, ...]
    ) -> None:
        self.path = path
        self.notes = notes
        self._frame = frame
        self._separator = separator
        self._places = places

    def __len__(self) -> int:
        return self._frame.height

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the table, and those of where a row was."""
        return (*self._frame.columns, *self._places.columns)

    @property
    def label(self) -> str | None:
        """The column that is named as labels are, if its values look like some."""
        return default_label(self._frame.columns, self.column)

    def column(self, name: str) -> Column:
        """Values as texts, without spaces around them; whole numbers are one value however they are written."""
        series = self._frame[name] if name in self._frame.columns else self._places[name]
        if series.dtype.is_nested() or series.dtype == pl.Binary:
            raise DatasetError(f"{self.path}: column {name!r} has no plain values, but {series.dtype}: name another")
        if series.dtype.is_float():
            return coded(series.to_numpy().astype(np.float64))
        texts = series.cast(pl.String).str.strip_chars()
        texts = texts.set(texts == "", None)
        known = texts.drop_nulls()
        if known.str.contains(_WHOLE).all():
            return _coded(texts.str.replace(r"\.0+$", "").cast(pl.Int64))
        numbers = texts.cast(pl.Float64, strict=False)
        if numbers.null_count() == texts.null_count() and known.str.contains("^0[0-9]").any() is False:
            return coded(numbers.fill_null(float("nan")).to_numpy().astype(np.float64))
        return _coded(texts)

    def write(self, rows: Rows, directory: Path, *, held_out: bool) -> None:  # noqa: ARG002 - nothing else is held out
        """data.csv, with the source's separator, or data.parquet."""
        directory.mkdir(parents=True)
        part = self._frame[rows]
        try:
            if self._separator is None:
                with (directory / "data.parquet").open("xb") as file:
                    part.write_parquet(file)
            else:
                with (directory / "data.csv").open("xb") as file:
                    part.write_csv(file, separator=self._separator)
        except PolarsError as error:  # which it makes of the system's error
            raise OSError(" ".join(str(error).split())) from error


def _coded(series: pl.Series) -> Column:
    values = series.drop_nulls().unique().sort()
    codes = series.rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
    return Column(tuple(map(str, values.to_list())), codes.astype(np.intp))


def open_csv(path: Path, files: list[Path], left_out: tuple[str, ...]) -> Source:
    """One CSV file, or several with the same columns.

    Raises:
        DatasetError: a file can't be read; or its columns are others than those of the first.
    """
    header = delimited.read_header(files[0])
    frames = []
    for file in files:
        own = header if file == files[0] else delimited.read_header(file)
        _check_columns(files[0], header.columns, file, own.columns)
        frames.append(_read_csv(file, own).select(header.columns))
    return _source(path, "csv", files, frames, header.separator, left_out)


def _read_csv(file: Path, header: delimited.Header) -> pl.DataFrame:
    try:
        return pl.read_csv(_for_polars(file), infer_schema=False, separator=header.separator)
    except (PolarsError, OSError):
        columns = delimited.read_carefully(file, header)
        return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))


def _for_polars(file: Path) -> Path | bytes:
    """What polars takes: a path, unless that is no text."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return file.read_bytes()
    return file


def open_parquet(path: Path, files: list[Path], left_out: tuple[str, ...]) -> Source:
    """One Parquet file, or several with the same columns.

    Raises:
        DatasetError: as `open_csv`.
    """
    frames: list[pl.DataFrame] = []
    for file in files:
        try:
            frame = pl.read_parquet(_for_polars(file), glob=False)
        except (PolarsError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DatasetError(f"{file} can't be read as Parquet: {reason}; get the file again") from error
        if frames:
            _check_columns(files[0], tuple(frames[0].columns), file, tuple(frame.columns))
            frame = frame.select(frames[0].columns)
            for name, dtype in frames[0].schema.items():
                if frame.schema[name] != dtype:
                    raise DatasetError(
                        f"{file}: column {name!r} has type {frame.schema[name]}, and {dtype} in {files[0]}: "
                        "give it one type in all files"
                    )
        frames.append(frame)
    return _source(path, "parquet", files, frames, None, left_out)


def _source(
    path: Path,
    kind: str,
    files: list[Path],
    frames: list[pl.DataFrame],
    separator: str | None,
    left_out: tuple[str, ...],
) -> Source:
    lengths = [frame.height for frame in frames]
    frame = pl.concat(frames) if len(frames) > 1 else frames[0]
    places = pl.DataFrame(
        {name: values for name, values in place_columns(path, files, lengths).items() if name not in frame.columns},
        schema_overrides={"file": pl.String, "folder": pl.String},
    )
    notes = list(left_out)
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series() if frame.height else pl.Series([False])
    if frame.width and blank.any():
        notes.append(f"{counted(int(blank.sum()), 'row')} without any value left out")
        frame = frame.filter(~blank)
        places = places.filter(~blank) if places.width else places
    if not frame.height:
        raise DatasetError(f"{path} has no rows below its columns' names: it needs one for each example")
    empty = {name: count for name, count in zip(frame.columns, frame.null_count().row(0), strict=True) if count}
    if empty:
        named = ", ".join(f"{name} {count:,}" for name, count in list(empty.items())[:10])
        notes.append(f"empty values: {named}{', ...' if len(empty) > 10 else ''}; load_data of task.py will meet them")
    return Source(path, kind, tuple(files), Table(path, frame, separator, places, tuple(notes)))


def _check_columns(first: Path, columns: tuple[str, ...], file: Path, own: tuple[str, ...]) -> None:
    missing, added = sorted(set(columns) - set(own)), sorted(set(own) - set(columns))
    if missing or added:
        lacks = f" lacks {', '.join(map(repr, missing[:5]))}" if missing else ""
        has = f" has {', '.join(map(repr, added[:5]))}" if added else ""
        both = " and" if lacks and has else ""
        raise DatasetError(f"{file}{lacks}{both}{has}, unlike {first}: all files of a folder need the same columns")
