"""Parts of the model in blocks, which are what is in memory at a time; and where they lie in the updates."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.averaging.grid import Part, Piece
from protocol.encodings import Floats, Integers, UpdateLayout, decode, float_range, integer_range, scale_range
from protocol.tensors import DTYPES, FLOATING, Kind

CACHED = 65_536
"""So many float64 numbers, of a sum and of what is added to it, stay in a processor's second cache."""


class Run(NamedTuple):
    """Elements of one kind and dtype that follow each other: places `start` to `end` among a block's coordinates, or
    among its integers, and from byte `offset` of its part's data."""

    kind: Kind
    dtype: str
    start: int
    end: int
    offset: int


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Some elements of a part: coordinates `floats[0]` to `floats[1]`, integers `integers[0]` to `integers[1]`."""

    part: Part
    floats: tuple[int, int]
    integers: tuple[int, int]
    pieces: tuple[Piece, ...]

    @property
    def n_float(self) -> int:
        """Number of coordinates."""
        return self.floats[1] - self.floats[0]

    @property
    def n_int(self) -> int:
        """Number of integers."""
        return self.integers[1] - self.integers[0]

    def runs(self) -> Iterator[Run]:
        """All elements, in their order, no run longer than CACHED."""
        ends = {True: 0, False: 0}
        for (kind, dtype), group in itertools.groupby(self.pieces, lambda piece: (piece.kind, piece.tensor.dtype)):
            pieces = tuple(group)
            is_integer, itemsize = kind == "integer", DTYPES[dtype].itemsize
            start = ends[is_integer]
            end = ends[is_integer] = start + sum(piece.size for piece in pieces)
            offset = pieces[0].tensor.start + pieces[0].start * itemsize - self.part.start
            for first in range(start, end, CACHED):
                yield Run(kind, dtype, first, min(first + CACHED, end), offset + (first - start) * itemsize)

    def tensor_at(self, run: Run, place: int) -> str:
        """The name of the tensor that the `place`-th element of a run belongs to."""
        at = (self.integers if run.kind == "integer" else self.floats)[0] + run.start + place
        same = (piece for piece in self.pieces if (piece.kind == "integer") == (run.kind == "integer"))
        return next(piece.tensor.name for piece in same if piece.at <= at < piece.at + piece.size)


def blocks_of(parts: Iterable[Part], elements: int) -> Iterator[Block]:
    """The parts in blocks of so many elements at most."""
    for part in parts:
        pieces: list[Piece] = []
        room = elements
        for piece in part.pieces:
            start = piece.start
            while start < piece.end:
                end = min(piece.end, start + room)
                pieces.append(msgspec.structs.replace(piece, start=start, end=end, at=piece.at + start - piece.start))
                room -= end - start
                start = end
                if not room:
                    yield _block(part, pieces)
                    pieces, room = [], elements
        if pieces:
            yield _block(part, pieces)


def _block(part: Part, pieces: list[Piece]) -> Block:
    floats = [piece for piece in pieces if piece.tensor.dtype in FLOATING]
    integers = [piece for piece in pieces if piece.tensor.dtype not in FLOATING]
    return Block(part=part, floats=_span(floats), integers=_span(integers), pieces=tuple(pieces))


def _span(pieces: list[Piece]) -> tuple[int, int]:
    return (pieces[0].at, pieces[-1].at + pieces[-1].size) if pieces else (0, 0)


class Slices:
    """Where a block is in an update of a layout: `ranges` of bytes, those that touch joined, to be read one after
    another into a space of `size` bytes; and what these mean."""

    def __init__(self, layout: UpdateLayout, block: Block) -> None:
        self._encoding = layout.encoding
        self._first = block.floats[0]
        self._n_float, self._n_int = block.n_float, block.n_int
        self.ranges: list[tuple[int, int]] = []
        self.size = 0
        self._integers = self._place(integer_range(*block.integers))
        self._scales = self._place(scale_range(layout, *block.floats))
        self._floats = self._place(float_range(layout, *block.floats))

    def integers(self, space: NDArray[np.uint8]) -> Integers:
        """The integers in some updates' bytes, a row each: int64 [rows, n_int]."""
        return _view(space, self._integers[0], "<i8", self._n_int)

    def floats(self, space: NDArray[np.uint8], decoded: Floats) -> Floats:
        """The coordinates in some updates' bytes, a row each: float32 [rows, n_float]. `decoded` takes them if they are
        not float32 already, and has this shape then."""
        if self._encoding == "float32":
            return _view(space, self._floats[0], "<f4", self._n_float)
        for row, out in zip(space, decoded, strict=True):
            scales, values = (row[slice(*place)].data for place in (self._scales, self._floats))
            decode(self._encoding, values, out, self._first, scales)
        return decoded

    def _place(self, region: tuple[int, int]) -> tuple[int, int]:
        """Have a region read; returns where in the space it will be."""
        start, end = region
        if start < end and self.ranges and self.ranges[-1][1] == start:
            self.ranges[-1] = (self.ranges[-1][0], end)
        elif start < end:
            self.ranges.append(region)
        self.size += end - start
        return self.size - (end - start), self.size


def _view(space: NDArray[np.uint8], start: int, dtype: str, count: int) -> NDArray[Any]:
    rows, stride = space.shape
    return np.ndarray((rows, count), dtype, space, start, (stride, np.dtype(dtype).itemsize))
