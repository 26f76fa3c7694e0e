"""How updates travel: which bytes of an update's file hold which coordinates of the model, and what they mean.

The float coordinates of a model are the elements of its floating-point tensors, in the order of the model's file,
counted from 0 to `n_float`; the elements of its integer and boolean tensors are its integer coordinates, 0 to `n_int`.
An update has a difference for each, in the same order, in up to three regions:

    integers   int64, one an integer coordinate
    scales     float32, one a block of BLOCK float coordinates; of int8 alone
    floats     one a float coordinate, as the encoding says

So a range of the model's file is a range of coordinates, and that is a range of bytes in every update, whatever the
dtypes of the model. Blocks are counted from coordinate 0 and cross the borders of tensors.

float32 loses nothing. bfloat16 rounds to nearest, ties to even. int8 is symmetric: a block's scale is its largest
magnitude divided by 127, and each value the nearest multiple of it. What these two lose, a device adds to its next
update (error feedback: Seide et al., 2014, section 3; Karimireddy et al., 2019, algorithm 2): it is late, not lost.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.messages import Encoding
from protocol.tensors import (
    DTYPES,
    FLOATING,
    Header,
    InvalidTensorsError,
    SchemaMismatchError,
    TensorSpec,
    check_schema,
    encode_header,
    from_float32,
)

Buffer = bytes | bytearray | memoryview
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

BLOCK = 128
"""How many float coordinates share a scale."""

SCALES = "fedgrass..scales"
"""The tensor of scales in an update. No module of torch can hold a tensor by this name: no part of one is empty."""

FLOAT_DTYPES: dict[Encoding, str] = {"float32": "F32", "bfloat16": "BF16", "int8": "I8"}
"""Encoding -> safetensors dtype of the float coordinates."""

LOSSY: frozenset[Encoding] = frozenset({"bfloat16", "int8"})

_INTEGER_BYTES = 8
_SCALE_BYTES = 4
_LARGEST = np.float32(127)
_AT_ONCE = 512 * BLOCK
"""So many coordinates are encoded at a time: temporary arrays stay in the processor's cache."""


class NotFiniteError(ArithmeticError):
    """A float coordinate of an update is infinite or not a number, or would be in its encoding."""

    def __init__(self, coordinate: int) -> None:
        super().__init__(f"float coordinate {coordinate} of the update is not finite")
        self.coordinate = coordinate


class Coordinates(msgspec.Struct, frozen=True):
    """Where one tensor of a model is among the coordinates of its kind: `start` to `stop`. `dtype` is the model's."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class UpdateLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What updates to a model look like in one encoding. Bytes are counted from where the data of the file begins.

    `tensors` are those of the update's file, in the order of their bytes; `floats` and `integers` are the model's, as
    coordinates. `scales_start` and `floats_start` are the first bytes of these regions; the integers' is 0.
    `header_bytes` precede the data if there is no message.
    """

    encoding: Encoding
    tensors: tuple[TensorSpec, ...]
    floats: tuple[Coordinates, ...]
    integers: tuple[Coordinates, ...]
    n_float: int
    n_int: int
    scales_start: int
    floats_start: int
    data_bytes: int
    header_bytes: int

    def tensor_of(self, coordinate: int) -> str:
        """The name of the tensor that has this float coordinate."""
        return next(tensor.name for tensor in self.floats if tensor.start <= coordinate < tensor.stop)


@functools.lru_cache(maxsize=16)
def update_layout(model: Header, encoding: Encoding) -> UpdateLayout:
    """What updates to the model with this header look like.

    Raises:
        InvalidTensorsError: a tensor of the model has the name that is kept for scales.
    """
    if any(tensor.name == SCALES for tensor in model.tensors):
        raise InvalidTensorsError(f"no tensor of a model may be named {SCALES!r}: updates keep that name for scales")
    floats = _coordinates(tensor for tensor in model.tensors if tensor.dtype in FLOATING)
    integers = _coordinates(tensor for tensor in model.tensors if tensor.dtype not in FLOATING)
    n_float = floats[-1].stop if floats else 0
    n_int = integers[-1].stop if integers else 0
    scales = [TensorSpec(SCALES, "F32", (blocks(n_float),), 0, 0)] if encoding == "int8" else []
    tensors = _in_file(
        [
            *(TensorSpec(tensor.name, "I64", tensor.shape, 0, 0) for tensor in integers),
            *scales,
            *(TensorSpec(tensor.name, FLOAT_DTYPES[encoding], tensor.shape, 0, 0) for tensor in floats),
        ]
    )
    scales_start = n_int * _INTEGER_BYTES
    floats_start = scales_start + sum(scale.size for scale in scales) * _SCALE_BYTES
    return UpdateLayout(
        encoding=encoding,
        tensors=tensors,
        floats=floats,
        integers=integers,
        n_float=n_float,
        n_int=n_int,
        scales_start=scales_start,
        floats_start=floats_start,
        data_bytes=floats_start + n_float * DTYPES[FLOAT_DTYPES[encoding]].itemsize,
        header_bytes=len(encode_header(tensors, "")),
    )


def _coordinates(tensors: Iterable[TensorSpec]) -> tuple[Coordinates, ...]:
    placed = []
    position = 0
    for tensor in tensors:
        stop = position + tensor.size
        placed.append(Coordinates(tensor.name, tensor.dtype, tensor.shape, position, stop))
        position = stop
    return tuple(placed)


def _in_file(tensors: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    placed = []
    position = 0
    for tensor in tensors:
        end = position + tensor.size * DTYPES[tensor.dtype].itemsize
        placed.append(msgspec.structs.replace(tensor, start=position, end=end))
        position = end
    return tuple(placed)


def blocks(coordinates: int) -> int:
    """How many blocks so many float coordinates are."""
    return math.ceil(coordinates / BLOCK)


def float_range(layout: UpdateLayout, first: int, stop: int) -> tuple[int, int]:
    """The bytes of the float coordinates from `first` up to `stop`."""
    size = DTYPES[FLOAT_DTYPES[layout.encoding]].itemsize
    return layout.floats_start + first * size, layout.floats_start + stop * size


def scale_range(layout: UpdateLayout, first: int, stop: int) -> tuple[int, int]:
    """The bytes of the scales that `decode` needs for the float coordinates from `first` up to `stop`: none, but for
    int8."""
    if layout.encoding != "int8" or first == stop:
        return layout.scales_start, layout.scales_start
    return (
        layout.scales_start + first // BLOCK * _SCALE_BYTES,
        layout.scales_start + blocks(stop) * _SCALE_BYTES,
    )


def integer_range(first: int, stop: int) -> tuple[int, int]:
    """The bytes of the integer coordinates from `first` up to `stop`: int64, little-endian."""
    return first * _INTEGER_BYTES, stop * _INTEGER_BYTES


def check_layout(header: Header, expected: UpdateLayout) -> None:
    """Passes if a file holds exactly the expected tensors, each where it has to be.

    Raises:
        SchemaMismatchError: a tensor is missing, not expected, of another dtype or shape, or somewhere else; the text
            names it.
    """
    places = {tensor.name: tensor for tensor in expected.tensors}
    check_schema(header, {name: (tensor.dtype, tensor.shape) for name, tensor in places.items()})
    for tensor in header.tensors:
        place = places[tensor.name]
        if tensor != place:
            raise SchemaMismatchError(
                f"tensor {tensor.name!r} is at bytes {tensor.start} to {tensor.end}, the model needs it at "
                f"{place.start} to {place.end}"
            )


def decode(encoding: Encoding, values: Buffer, out: Floats, first: int = 0, scales: Buffer = b"") -> None:
    """The differences at the float coordinates from `first` up to `first + len(out)`, into `out`.

    `values` are the bytes of `float_range`, `scales` those of `scale_range`. Nothing is allocated. A value that is not
    finite comes out as such.
    """
    raw = np.frombuffer(values, DTYPES[FLOAT_DTYPES[encoding]], len(out))
    if encoding == "bfloat16":
        bits = out.view(np.uint32)
        np.copyto(bits, raw)
        np.left_shift(bits, 16, out=bits)
        return
    np.copyto(out, raw)
    if encoding == "int8" and len(out):
        _scale(out, np.frombuffer(scales, DTYPES["F32"], blocks(first + len(out)) - first // BLOCK), first)


def _scale(out: Floats, scales: Floats, first: int) -> None:
    """Multiply each value by the scale of its block; `scales` begin with that of the block of `first`."""
    with np.errstate(over="ignore", invalid="ignore"):
        head = min(-first % BLOCK, len(out))
        if head:
            out[:head] *= scales[0]
            scales = scales[1:]
        whole = (len(out) - head) // BLOCK
        body = out[head : head + whole * BLOCK].reshape(whole, BLOCK)
        np.multiply(body, scales[:whole, None], out=body)
        if head + whole * BLOCK < len(out):
            out[head + whole * BLOCK :] *= scales[whole]


class Encoded(msgspec.Struct, frozen=True):
    """Float coordinates as they travel: `values` in the encoding's dtype, `scales` of int8 (otherwise none), and the
    `residual` that a device adds to its next update, None if nothing was lost."""

    values: NDArray[Any]
    scales: Floats
    residual: Floats | None


def encode(delta: Floats, encoding: Encoding, residual: Floats | None = None) -> Encoded:
    """All float coordinates of an update, flat, as they travel. `residual` is what the last update left out, for an
    encoding that leaves something out.

    Raises:
        NotFiniteError: a value is not finite, or too large for the encoding.
    """
    count = len(delta)
    if encoding not in LOSSY:
        for first in range(0, count, _AT_ONCE):
            _require_finite(delta[first : first + _AT_ONCE], first)
        return Encoded(delta, np.empty(0, np.float32), None)
    values = np.empty(count, DTYPES[FLOAT_DTYPES[encoding]])
    scales = np.empty(blocks(count) if encoding == "int8" else 0, np.float32)
    left = np.empty(count, np.float32)
    decoded = np.empty(min(count, _AT_ONCE), np.float32)
    for first in range(0, count, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, count))
        due = delta[part] if residual is None else delta[part] + residual[part]
        _require_finite(due, first)
        scales_part = scales[first // BLOCK : blocks(part.stop)]
        if encoding == "int8":
            _quantize(due, values[part], scales_part)
        else:
            values[part] = from_float32(due, FLOAT_DTYPES[encoding])
        back = decoded[: len(due)]
        decode(encoding, values[part].data, back, first, scales_part.data)
        _require_finite(back, first)
        np.subtract(due, back, out=left[part])
    return Encoded(values, scales, left)


def _require_finite(values: Floats, first: int) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        raise NotFiniteError(first + int(np.argmin(finite)))


def _quantize(due: Floats, values: NDArray[Any], scales: Floats) -> None:
    """Fill in the int8 values and the scale of each block; `due` begins with a block."""
    padded = due
    if len(due) % BLOCK:
        padded = np.zeros(len(scales) * BLOCK, np.float32)
        padded[: len(due)] = due
    rows = padded.reshape(-1, BLOCK)
    np.divide(np.abs(rows).max(axis=1), _LARGEST, out=scales)
    divisors = np.where(scales > 0, scales, np.float32(1))
    multiples = np.rint(rows / divisors[:, None])
    np.clip(multiples, -_LARGEST, _LARGEST, out=multiples)  # a subnormal scale is rounded coarsely
    np.copyto(values, multiples.reshape(-1)[: len(due)], casting="unsafe")


def dump(layout: UpdateLayout, integers: Integers, floats: Encoded, message: bytes | str) -> bytes:
    """An update's file: the same values and message always give the same bytes."""
    parts = (encode_header(layout.tensors, message), integers, floats.scales, floats.values)
    return b"".join(part if isinstance(part, bytes) else part.data for part in parts)
