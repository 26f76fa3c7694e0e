"""Parts of the model in blocks, which are what is in memory at a time; and where they lie in the updates."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.averaging.grid import Part, Piece
from protocol.encoding_traits import traits_of
from protocol.encodings import (
    Floats,
    Integers,
    UpdateLayout,
    buffer_range,
    decode,
    integer_range,
    parameter_range,
    scale_range,
)
from protocol.tensors import DTYPES, Kind

CACHED = 65_536
"""So many float64 numbers, of a sum and of what is added to it, stay in a processor's second cache."""


class Run(NamedTuple):
    """A contiguous run of one kind and dtype: places `start` to `end` among its block's parameters, or among its
    values, which are its buffers and then its integers. It begins at byte `offset` of its part's data, and at
    `in_vector` of the part's optimizer state, if it has a place there."""

    kind: Kind
    dtype: str
    start: int
    end: int
    offset: int
    in_vector: int


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Some elements of a part: of the model's parameters those from `parameters[0]` to `parameters[1]`, and so of its
    buffers and its integers."""

    part: Part
    parameters: tuple[int, int]
    buffers: tuple[int, int]
    integers: tuple[int, int]
    pieces: tuple[Piece, ...]

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.parameters[1] - self.parameters[0]

    @property
    def n_buffers(self) -> int:
        """Number of buffers."""
        return self.buffers[1] - self.buffers[0]

    @property
    def n_values(self) -> int:
        """Number of buffers and integers."""
        return self.n_buffers + self.integers[1] - self.integers[0]

    @property
    def of_parameters(self) -> "Block":
        """The same without what are values."""
        return self._without(is_values=True, buffers=(0, 0), integers=(0, 0))

    @property
    def of_values(self) -> "Block":
        """Buffers and integers alone."""
        return self._without(is_values=False, parameters=(0, 0))

    def _without(self, *, is_values: bool, **spans: tuple[int, int]) -> "Block":
        pieces = tuple(piece for piece in self.pieces if (piece.kind == "parameter") == is_values)
        return msgspec.structs.replace(self, pieces=pieces, **spans)

    def runs(self) -> Iterator[Run]:
        """All elements, in their order, no run longer than CACHED."""
        ends: dict[Kind, int] = {"parameter": 0, "buffer": 0, "integer": self.n_buffers}
        for (kind, dtype), group in itertools.groupby(self.pieces, lambda piece: (piece.kind, piece.tensor.dtype)):
            pieces = tuple(group)
            itemsize = DTYPES[dtype].itemsize
            start = ends[kind]
            end = ends[kind] = start + sum(piece.size for piece in pieces)
            offset = pieces[0].tensor.start + pieces[0].start * itemsize - self.part.start
            for first in range(start, end, CACHED):
                past = first - start
                yield Run(
                    kind, dtype, first, min(first + CACHED, end), offset + past * itemsize, pieces[0].in_vector + past
                )

    def tensors_in(self, run: Run) -> Iterator[tuple[str, int, int]]:
        """The tensors that a run's elements belong to: the name of each, and where in the run its own begin and end."""
        position = self.n_buffers if run.kind == "integer" else 0
        for piece in self.pieces:
            if piece.kind == run.kind:
                start, end = max(position, run.start), min(position + piece.size, run.end)
                if start < end:
                    yield piece.tensor.name, start - run.start, end - run.start
                position += piece.size


def blocks_of(parts: Iterable[Part], elements: int) -> Iterator[Block]:
    """The parts in blocks of so many elements at most."""
    for part in parts:
        pieces: list[Piece] = []
        room = elements
        for piece in part.pieces:
            start = piece.start
            while start < piece.end:
                end = min(piece.end, start + room)
                pieces.append(_of_piece(piece, start, end))
                room -= end - start
                start = end
                if not room:
                    yield _block(part, pieces)
                    pieces, room = [], elements
        if pieces:
            yield _block(part, pieces)


def _of_piece(piece: Piece, start: int, end: int) -> Piece:
    past = start - piece.start
    return msgspec.structs.replace(piece, start=start, end=end, at=piece.at + past, in_vector=piece.in_vector + past)


def _block(part: Part, pieces: list[Piece]) -> Block:
    return Block(
        part=part,
        parameters=_span(pieces, "parameter"),
        buffers=_span(pieces, "buffer"),
        integers=_span(pieces, "integer"),
        pieces=tuple(pieces),
    )


def _span(pieces: Iterable[Piece], kind: Kind) -> tuple[int, int]:
    same = [piece for piece in pieces if piece.kind == kind]
    return (same[0].at, same[-1].at + same[-1].size) if same else (0, 0)


class Slices:
    """Where a block is in an update of a layout: `ranges` of bytes, those that touch joined, to be read one after
    another into a space of `size` bytes; and what these mean."""

    def __init__(self, layout: UpdateLayout, block: Block) -> None:
        self._encoding = layout.encoding
        self._first = block.parameters[0]
        self.ranges: list[tuple[int, int]] = []
        self.size = 0
        regions = {
            "integers": integer_range(*block.integers),
            "scales": scale_range(layout, *block.parameters),
            "parameters": parameter_range(layout, *block.parameters),
            "buffers": buffer_range(layout, *block.buffers),
        }
        self._places = {name: self._place(regions[name]) for name in sorted(regions, key=regions.__getitem__)}

    def integers(self, space: NDArray[np.uint8]) -> Integers:
        """The integers in some updates' bytes, a row each: int64 [rows, integers]."""
        return self._view(space, "integers", "<i8")

    def buffers(self, space: NDArray[np.uint8]) -> Floats:
        """The buffers in some updates' bytes, a row each: float32 [rows, buffers]."""
        return self._view(space, "buffers", "<f4")

    def parameters(self, space: NDArray[np.uint8], decoded: Floats) -> Floats:
        """The parameters in some updates' bytes, a row each: float32 [rows, parameters]. `decoded` takes them if they
        are encoded, and has this shape then."""
        if not traits_of(self._encoding).is_lossy:
            return self._view(space, "parameters", "<f4")
        for row, out in zip(space, decoded, strict=True):
            scales, values = (row[slice(*self._places[region])].data for region in ("scales", "parameters"))
            decode(self._encoding, values, out, self._first, scales)
        return decoded

    def _view(self, space: NDArray[np.uint8], region: str, dtype: str) -> NDArray[Any]:
        start, end = self._places[region]
        rows, stride = space.shape
        itemsize = np.dtype(dtype).itemsize
        if start == end:
            return np.empty((rows, 0), dtype)
        return np.ndarray((rows, (end - start) // itemsize), dtype, space, start, (stride, itemsize))

    def _place(self, region: tuple[int, int]) -> tuple[int, int]:
        """Have a region read; returns where in the space it will be."""
        start, end = region
        if start < end and self.ranges and self.ranges[-1][1] == start:
            self.ranges[-1] = (self.ranges[-1][0], end)
        elif start < end:
            self.ranges.append(region)
        self.size += end - start
        return self.size - (end - start), self.size
