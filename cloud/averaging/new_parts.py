"""A new model from the old one and a change, a block in memory at a time."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.averaging import optimizers
from cloud.averaging.blocks import CACHED, Block
from cloud.averaging.changes import Change, Changes
from cloud.averaging.grid import Grid, Part, Piece
from cloud.averaging.sources import Reader, Request, read_whole
from cloud.settings import Averaging
from protocol.encodings import Buffer
from protocol.narrowing import TooLargeNumberError, narrow
from protocol.tensors import DTYPES, Array, TensorSpec, from_float32, to_float32

File = Literal["model", "state", "ema", "copy"]
FILES: tuple[File, ...] = ("model", "state", "ema", "copy")
"""A global model, the server optimizer's state, the moving average of the models, and the copy of the model that is
offered to devices: one set belongs together."""


class NotFiniteModelError(ArithmeticError):
    """A new model would have values that its dtype can't hold."""


class NewPart(NamedTuple):
    """What belongs to a part of the model, in each file that the federation has."""

    part: Part
    data: dict[File, bytearray]


class Before:
    """What the round starts from, at some parts, read in their order. `reader` reads those of FILES that there are, in
    this order; of the first model there is neither a state yet nor an average."""

    def __init__(self, grid: Grid, parts: Iterable[Part], reader: Reader, files: Sequence[File]) -> None:
        self._files = files
        requests = (
            Request(number, *(grid.state_range(part) if file == "state" else (part.start, part.end)))
            for part in parts
            if part.pieces
            for number, file in enumerate(files)
        )
        self._buffers = read_whole(reader, requests)

    def next(self, part: Part) -> dict[File, Buffer]:
        """What there is at the next part."""
        return {file: next(self._buffers) if part.pieces else b"" for file in self._files}


def new_parts(
    grid: Grid, parts: Iterable[Part], blocks: Iterable[Block], changes: Changes, before: Before, settings: Averaging
) -> Iterator[NewPart]:
    """Some parts after the round; `blocks` are all of theirs.

    Parameters take the optimizer's step; buffers and integers the change itself, which is a mean. Sums are float64;
    integers and booleans are rounded to nearest, ties to even, and kept in range.

    Raises:
        NotFiniteModelError: a sum is larger than its tensor's dtype, or that of its copy, can hold; the text names the
            tensor.
    """
    of_part = {number: list(found) for number, found in itertools.groupby(blocks, lambda block: block.part.number)}
    for part in parts:
        writing = _Writing(part, before.next(part), grid.vectors, settings)
        for block in of_part.get(part.number, []):
            writing.write(block, changes.next(block))
        if grid.copied:
            writing.copy()
        yield NewPart(part, writing.new)


class _Writing:
    """Writes the new part, piece by piece of its blocks."""

    def __init__(self, part: Part, old: dict[File, Buffer], vectors: int, settings: Averaging) -> None:
        self._part = part
        self._old = old
        self._settings = settings
        size = part.end - part.start
        self.new: dict[File, bytearray] = {"model": bytearray(size)}
        self._state: tuple[NDArray[np.float32], ...] = ()
        if vectors:
            coordinates = part.floats[1] - part.floats[0]
            initial = optimizers.initial_state(settings.optimizer, coordinates)
            self.new["state"] = bytearray(old.get("state") or b"".join(vector.tobytes() for vector in initial))
            self._state = tuple(np.frombuffer(self.new["state"], "<f4").reshape(vectors, coordinates))
        if settings.ema:
            self.new["ema"] = bytearray(size)

    def write(self, block: Block, change: Change) -> None:
        floats, integers = change
        for piece in block.pieces:
            values, first = (integers, block.integers[0]) if piece.kind == "integer" else (floats, block.floats[0])
            for start in range(0, piece.size, CACHED):
                size = min(CACHED, piece.size - start)
                at = piece.at + start
                self._write(piece, start, values[at - first : at - first + size], at - self._part.floats[0])

    def copy(self) -> None:
        """Write the part of the copy, once that of the model is whole."""
        model = memoryview(self.new["model"])
        copied = self.new["copy"] = bytearray()
        position = 0
        try:
            for piece in self._part.pieces:
                copied += narrow(piece.tensor, model[position : position + piece.bytes])
                position += piece.bytes
        except TooLargeNumberError as error:
            raise NotFiniteModelError(str(error)) from error

    def _write(self, piece: Piece, start: int, change: NDArray[np.float64], at: int) -> None:
        tensor = piece.tensor
        offset = tensor.start + (piece.start + start) * DTYPES[tensor.dtype].itemsize - self._part.start

        def view(data: Buffer) -> Array:
            return np.frombuffer(data, DTYPES[tensor.dtype], len(change), offset)

        old, new = view(self._old["model"]), view(self.new["model"])
        if piece.kind == "integer":
            new[:] = _counted(tensor, old, change)
            if "ema" in self.new:
                view(self.new["ema"])[:] = new
            return
        values = to_float64(old, tensor.dtype)
        if piece.kind == "parameter":
            state = tuple(vector[at : at + len(change)] for vector in self._state)
            values, moved = optimizers.step(self._settings.optimizer, values, change, state)
            for vector, by in zip(state, moved, strict=True):
                vector[:] = by
        else:
            values = values + change
        new[:] = in_dtype(tensor, values)
        if "ema" in self.new:
            held = to_float64(new, tensor.dtype)
            previous = to_float64(view(self._old.get("ema") or self._old["model"]), tensor.dtype)
            view(self.new["ema"])[:] = in_dtype(tensor, optimizers.ema(previous, held, self._settings.ema))


def to_float64(stored: Array, dtype: str) -> NDArray[np.float64]:
    """A floating-point tensor's values, exactly."""
    return (stored if dtype == "F64" else to_float32(stored, dtype)).astype(np.float64)


def in_dtype(tensor: TensorSpec, values: NDArray[np.float64]) -> Array:
    """Values as the tensor's dtype stores them, rounded to float32 first if that is narrower.

    Raises:
        NotFiniteModelError: it can't hold one of them.
    """
    if tensor.dtype == "F64":
        stored: Array = values
        held: Array = values
    else:
        with np.errstate(over="ignore"):
            stored = from_float32(values.astype(np.float32), tensor.dtype)
        held = to_float32(stored, tensor.dtype)
    if not np.isfinite(held).all():
        raise NotFiniteModelError(f"tensor {tensor.name!r} has values that {tensor.dtype} can't hold")
    return stored


def _counted(tensor: TensorSpec, old: Array, change: NDArray[np.float64]) -> Array:
    if tensor.dtype == "BOOL":
        return np.greater(old + change, 0.5)
    limits = np.iinfo(DTYPES[tensor.dtype].name)
    return np.clip(_saturating_sum(old.astype(np.int64), change), limits.min, limits.max)


def _saturating_sum(values: NDArray[np.int64], change: NDArray[np.float64]) -> NDArray[np.int64]:
    limits = np.iinfo(np.int64)
    by = np.rint(np.clip(change, -(2.0**62), 2.0**62)).astype(np.int64)
    by = np.clip(by, limits.min - np.minimum(values, 0), limits.max - np.maximum(values, 0))
    total: NDArray[np.int64] = values + by
    return total
