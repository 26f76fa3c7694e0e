"""What a source of data is, whatever its format: examples with columns, which can be written again in parts."""

import difflib
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.intp]
"""Indices of examples, sorted."""

_NAMED_COLUMNS = 20
_LONGEST_NAME = 60
_DISTINCT_LABELS = 20
_EXAMPLES_A_LABEL = 10


class DatasetError(ValueError):
    """Data that are not where they should be, or can't be used; the text names the path and the remedy."""


class UnknownColumnError(DatasetError):
    """The data have no such column; the text names those they have."""


class Column(NamedTuple):
    """What each example has in one column: `values` are the different ones, in order, as texts; `codes` is intp [n],
    the index of each example's own, or -1 if it has none. `fractional` columns are numbers to measure, not to name."""

    values: tuple[str, ...]
    codes: NDArray[np.intp]
    fractional: bool = False

    @property
    def names_classes(self) -> bool:
        """Whether its values look like labels: few enough, and none between the whole numbers."""
        return not self.fractional and len(self.values) <= max(_DISTINCT_LABELS, len(self.codes) // _EXAMPLES_A_LABEL)


class Dataset(Protocol):
    """Examples, of which any can be written into a folder in the format that they came in."""

    @property
    def path(self) -> Path:
        """Where they came from."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names that `column` knows."""

    @property
    def label(self) -> str | None:
        """The column that has the labels by the format's custom, if there is one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the source: what of it was left out, and why."""

    def __len__(self) -> int:
        """How many examples there are."""

    def column(self, name: str) -> Column:
        """What each example has in this one of `columns`."""

    def write(self, rows: Rows, directory: Path, *, held_out: bool) -> None:
        """Writes these examples into `directory`, which is made, as a task on a device reads them; `held_out` says that
        they are only to evaluate models on."""


class Source(NamedTuple):
    """What was opened. `examples` are for clients to share; `holdout` is a part that the source keeps apart from them
    itself, as MNIST's test files. `files` are all that was read."""

    path: Path
    kind: str
    files: tuple[Path, ...]
    examples: Dataset
    holdout: Dataset | None = None


def column_of(dataset: Dataset, name: str) -> Column:
    """A column that a person has named.

    Raises:
        UnknownColumnError: there is none of this name.
    """
    if name in dataset.columns:
        return dataset.column(name)
    folded = {column.casefold(): column for column in dataset.columns}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    meant = f"; did you mean {named(folded[near[0]])}?" if near else ""
    shown = ", ".join(map(named, dataset.columns[:_NAMED_COLUMNS])) or "none"
    more = len(dataset.columns) - _NAMED_COLUMNS
    others = f" and {more} more" if more > 0 else ""
    raise UnknownColumnError(f"{dataset.path} has no column {name!r}{meant} (its columns: {shown}{others})")


def named(text: str) -> str:
    """A name out of the data, for a message."""
    return repr(text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}...")


def coded(values: NDArray[np.generic]) -> Column:
    """A column from an array [n], not empty, of numbers, truth values or texts; NaN and "" are none."""
    if values.dtype.kind == "f":
        numbers = values.astype(np.float64)
        missing = np.isnan(numbers)
        whole = bool(np.all(numbers[~missing] == np.floor(numbers[~missing]))) and not np.isinf(numbers).any()
        different, codes = np.unique(numbers[~missing], return_inverse=True)
        texts = tuple(str(int(value)) if whole else repr(float(value)) for value in different)
        filled = np.full(len(values), -1, np.intp)
        filled[~missing] = codes
        return Column(texts, filled, fractional=not whole)
    different, codes = np.unique(values, return_inverse=True)
    names = [value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value) for value in different]
    if names[0] == "":  # which sorts before all others
        return Column(tuple(names[1:]), codes.astype(np.intp) - 1)
    return Column(tuple(names), codes.astype(np.intp))
