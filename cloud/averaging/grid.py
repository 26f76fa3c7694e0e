"""The flat model, cut into parts: the same parts whatever the number of shards, so that these change no bit.

A model file's data is a row of tensors, whose elements are counted by their kind, as updates have them: parameters,
buffers, integers and booleans. The server optimizer's state has a place for each floating-point element, in the order
of the file. A part is a run of elements, large enough to be a part of a multipart upload, in the model's file, in the
state's, and in the bfloat16 copy's.
"""

import math
from collections.abc import Iterator

import msgspec

from cloud.averaging.bfloat16_copy import bfloat16_bytes, bfloat16_layout
from cloud.averaging.part_sizes import MIN_PART_BYTES
from protocol.messages import ModelHeader, encode
from protocol.tensors import DTYPES, FLOATING, Header, Kind, TensorSpec, encode_header, kind_of, placed

_NUMBER_BYTES = 4


class Piece(msgspec.Struct, frozen=True):
    """The elements `start` to `end` of a tensor. The first one's place is `at` among the model's elements of its kind,
    and `in_vector` in the optimizer's state of its part, if it is a floating-point number."""

    tensor: TensorSpec
    kind: Kind
    start: int
    end: int
    at: int
    in_vector: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.end - self.start

    @property
    def bytes(self) -> int:
        """How many bytes the elements have in the model's file."""
        return self.size * DTYPES[self.tensor.dtype].itemsize


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A run of elements: bytes `start` to `end` of the model's data, `bfloat16[0]` to `bfloat16[1]` of that of its
    bfloat16 copy. Those that are floating-point numbers have places `floats[0]` to `floats[1]` in the state."""

    number: int
    start: int
    end: int
    bfloat16: tuple[int, int]
    floats: tuple[int, int]
    pieces: tuple[Piece, ...]


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """A model's parts, and the kinds of files that have them. `vectors` is how many numbers the server optimizer keeps
    for each coordinate; `has_bfloat16` says that there is a bfloat16 copy."""

    header: Header
    about: ModelHeader
    vectors: int
    has_bfloat16: bool
    parts: tuple[Part, ...]

    def model_start(self, round_number: int) -> bytes:
        """What precedes the data of the model that a round makes."""
        return encode_header(self.header.tensors, encode(self._about(round_number)))

    def bfloat16_start(self, round_number: int) -> bytes:
        """What precedes the data of the bfloat16 copy of that model."""
        return encode_header(
            bfloat16_layout(self.header.tensors, self.about.buffers), encode(self._about(round_number))
        )

    def optimizer_start(self, round_number: int) -> bytes:
        """What precedes the data of the optimizer's state that belongs to the model of a round.

        The state is a float32 tensor for each part and vector, named <part>.<vector>.
        """
        tensors = placed(
            (f"{part.number:05d}.{vector}", "F32", (part.floats[1] - part.floats[0],))
            for part in self.parts
            for vector in range(self.vectors)
        )
        return encode_header(tensors, encode(self._about(round_number)))

    def optimizer_range(self, part: Part) -> tuple[int, int]:
        """Where the state of a part is in the data of the state's file: one vector after another."""
        start, end = part.floats
        size = self.vectors * _NUMBER_BYTES
        return start * size, end * size

    def shard(self, index: int, shards: int) -> tuple[Part, ...]:
        """The parts of the `index`-th of so many shards: runs that differ by one part at most."""
        count = len(self.parts)
        return self.parts[index * count // shards : (index + 1) * count // shards]

    def _about(self, round_number: int) -> ModelHeader:
        return msgspec.structs.replace(self.about, round=round_number)


def grid_of(
    header: Header, about: ModelHeader, vectors: int, min_bytes: int = MIN_PART_BYTES, *, has_bfloat16: bool = False
) -> Grid:
    """The grid of a model with this header. `min_bytes` is the size of a part, in each file that has one, the last part
    aside."""
    parts = tuple(_cut(header, about, vectors, min_bytes, has_bfloat16=has_bfloat16))
    return Grid(header=header, about=about, vectors=vectors, has_bfloat16=has_bfloat16, parts=parts)


class _Growing:
    """A part that elements are added to."""

    def __init__(self, number: int, start: int, bfloat16: int, floats: int) -> None:
        self._number = number
        self._start = self._end = start
        self._bfloat16 = [bfloat16, bfloat16]
        self._least_copy_bytes = 0
        self._floats = [floats, floats]
        self._pieces: list[Piece] = []

    def missing(self, tensor: TensorSpec, vectors: int, min_bytes: int, *, has_bfloat16: bool) -> float:
        """After how many more elements of this tensor the part is large enough; infinite if they can't make it so."""
        missing = -(-(min_bytes - self._end + self._start) // DTYPES[tensor.dtype].itemsize)
        if has_bfloat16:  # in which no part has more bytes than in the model, nor fewer than if there were no buffers
            missing = -(-(min_bytes - self._least_copy_bytes) // bfloat16_bytes(tensor.dtype, "parameter"))
        if not vectors:
            return missing
        for_vectors = -(-min_bytes // (vectors * _NUMBER_BYTES)) - (self._floats[1] - self._floats[0])
        if tensor.dtype in FLOATING:
            return max(missing, for_vectors)
        return missing if for_vectors <= 0 else math.inf

    def add(self, tensor: TensorSpec, kind: Kind, start: int, end: int, at: int) -> None:
        piece = Piece(tensor, kind, start, end, at, self._floats[1] - self._floats[0])
        if tensor.dtype in FLOATING:
            self._floats[1] += piece.size
        self._end += piece.bytes
        self._bfloat16[1] += piece.size * bfloat16_bytes(tensor.dtype, kind)
        self._least_copy_bytes += piece.size * bfloat16_bytes(tensor.dtype, "parameter")
        self._pieces.append(piece)

    def done(self) -> Part:
        return Part(
            number=self._number,
            start=self._start,
            end=self._end,
            bfloat16=(self._bfloat16[0], self._bfloat16[1]),
            floats=(self._floats[0], self._floats[1]),
            pieces=tuple(self._pieces),
        )


def _cut(header: Header, about: ModelHeader, vectors: int, min_bytes: int, *, has_bfloat16: bool) -> Iterator[Part]:
    growing = _Growing(0, 0, 0, 0)
    buffers = frozenset(about.buffers)
    counted: dict[Kind, int] = {"parameter": 0, "buffer": 0, "integer": 0}
    for tensor in header.tensors:
        kind = kind_of(tensor, buffers)
        position = 0
        while position < tensor.size:
            missing = growing.missing(tensor, vectors, min_bytes, has_bfloat16=has_bfloat16)
            end = int(min(position + missing, tensor.size))
            growing.add(tensor, kind, position, end, counted[kind])
            counted[kind] += end - position
            if end - position == missing:
                part = growing.done()
                yield part
                growing = _Growing(part.number + 1, part.end, part.bfloat16[1], part.floats[1])
            position = end
    last = growing.done()
    if last.pieces or not last.number:
        yield last
