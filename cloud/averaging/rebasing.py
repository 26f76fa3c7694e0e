"""Buffers and integers are values, not steps: what an update says of them is base + change.

An update holds the changes that it made to the model that it was trained from. To a rule, and to whoever applies what
the rule makes of them, they are changes of the present model. These are the same for an update to the present model.
One that is late is rebased: its changes become those that would make the present model's values its own. To add the
change that it made to an older model would be wrong: if both it and the present model have made a variance of 1 to one
of 0.02, the sum would be negative.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.averaging.accepted_updates import Reader, Request, S3Object, read_whole
from cloud.averaging.blocks import Block
from cloud.averaging.grid import Piece
from protocol.encodings import Floats, Integers
from protocol.tensors import DTYPES, Array, TensorSpec, to_float32

Values = NDArray[np.float64]


class Base(msgspec.Struct, frozen=True, eq=False):
    """A model that updates were trained from: its file, and where its tensors are in the file's data."""

    stored: S3Object
    tensors: Mapping[str, TensorSpec]


class ModelValues(NamedTuple):
    """A model's values at a block."""

    buffers: Values
    integers: Integers


def to_float64(stored: Array, dtype: str) -> Values:
    """A floating-point tensor's values, exactly."""
    return (stored if dtype == "F64" else to_float32(stored, dtype)).astype(np.float64)


def rebased_buffers(changes: Floats, base: Values, present: Values) -> Values:
    """Turn changes of an older base into changes of the present model. They make no value negative that the client's
    changes did not."""
    with np.errstate(invalid="ignore"):  # of equal infinities, which are not rebased
        return np.where(base == present, changes, (base + changes) - present)


def rebased_integers(changes: Integers, base: Integers, present: Integers) -> Integers:
    """The same of integers, exactly."""
    return changes + (base - present)


class BaseReader:
    """Reads the values that some models have at some blocks. `reader` reads the files of `bases`, in their order, of
    which the first is the present model."""

    def __init__(self, reader: Reader, bases: Sequence[Base], blocks: Sequence[Block]) -> None:
        self._bases = bases
        self._read = read_whole(reader, _requests(bases, blocks))

    def next(self, block: Block) -> list[ModelValues]:
        """What each model has at the next block."""
        return [self._of(base, block) for base in self._bases]

    def whole(self, blocks: Sequence[Block]) -> list[ModelValues]:
        """What each model has at all of the blocks."""
        found = [self.next(block) for block in blocks]
        return [
            ModelValues(
                np.concatenate([one.buffers for one in of_model]), np.concatenate([one.integers for one in of_model])
            )
            for of_model in zip(*found, strict=True)
        ]

    def _of(self, base: Base, block: Block) -> ModelValues:
        data = b"".join(next(self._read) for _ in _ranges(base, block))
        buffers, integers = [np.empty(0)], [np.empty(0, np.int64)]
        position = 0
        for piece in _values_of(block):
            dtype = base.tensors[piece.tensor.name].dtype
            stored = np.frombuffer(data, DTYPES[dtype], piece.size, position)
            position += stored.nbytes
            if piece.kind == "buffer":
                buffers.append(to_float64(stored, dtype))
            else:
                integers.append(stored.astype(np.int64))
        return ModelValues(np.concatenate(buffers), np.concatenate(integers))


def _requests(bases: Sequence[Base], blocks: Sequence[Block]) -> Iterator[Request]:
    for block in blocks:
        for file, base in enumerate(bases):
            for start, end in _ranges(base, block):
                yield Request(file, start, end)


def _values_of(block: Block) -> Iterator[Piece]:
    return (piece for piece in block.pieces if piece.kind != "parameter")


def _ranges(base: Base, block: Block) -> list[tuple[int, int]]:
    """Where the block's buffers and integers are in the model's data, those that touch joined."""
    ranges: list[tuple[int, int]] = []
    for piece in _values_of(block):
        tensor = base.tensors[piece.tensor.name]
        size = DTYPES[tensor.dtype].itemsize
        start, end = tensor.start + piece.start * size, tensor.start + piece.end * size
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges
