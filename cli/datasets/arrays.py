"""Arrays of numpy: an NPZ file, an NPY file, or a folder of them. Nothing in them is unpickled."""

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cli.datasets.dataset import Column, DatasetError, Rows, Source, coded
from cli.datasets.files import default_label, place_columns

Arrays: TypeAlias = dict[str, NDArray[Any]]

_PART = re.compile(r"(?:(?P<before>train|val|test)_(?P<rest>.+)|(?P<name>.+)_(?P<after>train|val|test))")
_MOST_CLASSES = 1000
_SIMPLE = "biufSUM"
"""Kinds of types whose values are numbers, truth values, texts or dates."""


class ArraySet:
    """Arrays of equal first dimension as a data set; those of one dimension are its columns. `single` is the name of
    an NPY file's array, which has none of its own."""

    def __init__(
        self, path: Path, arrays: Arrays, places: dict[str, list[str]], notes: tuple[str, ...], *, files: bool
    ) -> None:
        self.path = path
        self.notes = notes
        self._arrays = arrays
        self._files = files
        self._flat: Arrays = {}
        for name, array in arrays.items():
            if array.dtype.names and array.ndim == 1:  # a structured array is a table
                self._flat.update({field: array[field] for field in array.dtype.names if array[field].ndim == 1})
            elif array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
                self._flat[name] = array.reshape(-1)
            elif _is_one_hot(array):
                self._flat[name] = array.argmax(axis=1)
        self._flat = {name: array for name, array in self._flat.items() if array.dtype.kind in _SIMPLE}
        self._flat.update({name: np.array(values) for name, values in places.items() if name not in self._flat})

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    @property
    def columns(self) -> tuple[str, ...]:
        """The arrays that have one plain value an example, or a one in the place of its class and zeros elsewhere."""
        return tuple(self._flat)

    @property
    def label(self) -> str | None:
        """The array that is named as labels are, if its values look like some."""
        return default_label(self.columns, self.column)

    def column(self, name: str) -> Column:
        """The values of one of these arrays."""
        return coded(self._flat[name])

    def write(self, rows: Rows, directory: Path, *, held_out: bool) -> None:  # noqa: ARG002 - nothing else is held out
        """data.npz, or a file for each array if the source has them so."""
        directory.mkdir(parents=True)
        if self._files:
            for name, array in self._arrays.items():
                with (directory / f"{name}.npy").open("xb") as file:
                    np.save(file, array[rows], allow_pickle=False)
        else:
            with (directory / "data.npz").open("xb") as file:
                np.savez(file, allow_pickle=False, **{name: array[rows] for name, array in self._arrays.items()})


def open_npz(path: Path, files: list[Path], left_out: tuple[str, ...]) -> Source:
    """One NPZ file, or several with the same arrays. Arrays named x_train and x_test, or train_x and test_x, are x in
    two parts: what is for tests is the source's own holdout. A part named val is joined to that for training.

    Raises:
        DatasetError: a file can't be read, or its arrays are of different lengths, or others than those of the first.
    """
    contents = [_read_npz(file) for file in files]
    parts = [_parts(file, content) for file, content in zip(files, contents, strict=True)]
    if len(files) == 1 and parts[0]:
        train, test = parts[0]
        return Source(
            path,
            "npz",
            tuple(files),
            ArraySet(path, train, {}, left_out, files=False),
            ArraySet(path, test, {}, (), files=False),
        )
    lengths = [_length(file, content) for file, content in zip(files, contents, strict=True)]
    for file, content in zip(files[1:], contents[1:], strict=True):
        _check_alike(files[0], contents[0], file, content)
    places = place_columns(path, files, lengths)
    return Source(path, "npz", tuple(files), ArraySet(path, _joined(contents), places, left_out, files=False))


def open_npy(path: Path, files: list[Path], left_out: tuple[str, ...]) -> Source:
    """One NPY file; or several, which are either different arrays of the same examples, as inputs.npy and labels.npy,
    or parts of one array.

    Raises:
        DatasetError: a file can't be read, or they are neither.
    """
    arrays = {file.stem: _read_npy(file) for file in files}
    if len(arrays) < len(files):
        raise DatasetError(f"{path} has files of the same name in several folders: give each array a name of its own")
    for file, array in zip(files, arrays.values(), strict=True):
        if array.ndim == 0 or not len(array):
            raise DatasetError(f"{file} holds no examples: an array needs a first dimension, with one entry an example")
    shapes = {(array.shape[1:], array.dtype.str) for array in arrays.values()}
    lengths = [len(array) for array in arrays.values()]
    if len(shapes) == 1 and len(files) > 1:
        places = place_columns(path, files, lengths)
        content: Arrays = {"data": np.concatenate(list(arrays.values()))}
    elif len(set(lengths)) == 1:
        places = {}
        content = {"data" if path in files else name: array for name, array in arrays.items()}
    else:
        told = ", ".join(f"{file.name} {list(array.shape)}" for file, array in zip(files, arrays.values(), strict=True))
        raise DatasetError(
            f"{path}: the arrays are neither of the same examples nor parts of one array: {told}; "
            "make their first dimension equal"
        )
    return Source(path, "npy", tuple(files), ArraySet(path, content, places, left_out, files=True))


def _read_npz(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as content:
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise DatasetError(f"{path} is no NPZ file; an array alone has the ending .npy")
            return {name: content[name] for name in content.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise _unreadable(path, error) from error


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(array, np.ndarray):
        raise DatasetError(f"{path} is no NPY file; several arrays together have the ending .npz")
    return array


def _unreadable(path: Path, error: Exception) -> DatasetError:
    if isinstance(error, DatasetError):
        return error
    if any(said in str(error) for said in ("Object arrays", "Python objects")):
        return DatasetError(
            f"{path} holds Python objects, which could run code when they are read, so they never are: "
            "save arrays of numbers or texts (dtype other than object)"
        )
    reason = "it is none of numpy's files" if "pickle" in str(error) else str(error)
    return DatasetError(f"{path} can't be read: {reason}; save it again with numpy.save or numpy.savez")


def _parts(path: Path, arrays: Arrays) -> tuple[Arrays, Arrays] | None:
    """Arrays for training and for tests, by the names that they have without that; None if their names don't tell."""
    parts: dict[str, Arrays] = {}
    for name, array in arrays.items():
        match = _PART.fullmatch(name)
        if match is None:
            return None
        parts.setdefault(match["before"] or match["after"], {})[match["rest"] or match["name"]] = array
    if not {"train", "test"} <= parts.keys():
        return None
    for part in parts.values():
        _length(path, part)
        _check_alike(path, parts["train"], path, part)
    return _joined([parts[name] for name in ("train", "val") if name in parts]), parts["test"]


def _is_one_hot(array: NDArray[Any]) -> bool:
    if array.ndim != 2 or array.shape[1] > _MOST_CLASSES or array.dtype.kind not in "biuf":
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _length(path: Path, arrays: Arrays) -> int:
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if not lengths or min(lengths.values()) == 0:
        empty = ", ".join(name for name, length in lengths.items() if not length)
        raise DatasetError(f"{path} holds no examples{f' in {empty}' if empty else ''}: leave out what has none")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {list(arrays[name].shape)}" for name in arrays)
        raise DatasetError(f"{path}: the arrays' first dimensions, which count the examples, are not equal: {told}")
    return next(iter(lengths.values()))


def _check_alike(first: Path, arrays: Arrays, path: Path, others: Arrays) -> None:
    if arrays.keys() != others.keys():
        raise DatasetError(
            f"{path} has the arrays {', '.join(sorted(others))}; {first} has {', '.join(sorted(arrays))}: "
            "all parts need the same"
        )
    for name, array in arrays.items():
        if array.shape[1:] != others[name].shape[1:]:
            raise DatasetError(
                f"{path}: an example of {name} has the shape {list(others[name].shape[1:])}; "
                f"in {first} it is {list(array.shape[1:])}"
            )


def _joined(contents: Sequence[Arrays]) -> Arrays:
    if len(contents) == 1:
        return contents[0]
    return {name: np.concatenate([content[name] for content in contents]) for name in contents[0]}
