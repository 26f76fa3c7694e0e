"""How updates travel: which bytes of an update's file hold which coordinates of the model, and what they mean.

The float coordinates of a model are the elements of its parameters, from 0 to `n_parameters`, and then those of its
buffers, the other floating-point tensors, up to `n_float`; the elements of its integer and boolean tensors are its
integer coordinates, 0 to `n_int`. Those of a kind are in the order of the model's file. An update has a difference for
each, in up to four regions, of which those with wider numbers come first, and parameters before buffers:

    integers     int64, one an integer coordinate
    scales       float32, one a block of BLOCK parameters' coordinates; of int8 alone
    parameters   one a coordinate, as the encoding says
    buffers      float32, one a coordinate, in every encoding

So a range of the model's file is a range of coordinates of each kind, and these are ranges of bytes in every update,
whatever the dtypes of the model. Blocks are counted from coordinate 0 and cross the borders of parameters.

Buffers are never encoded lossily: a model computes with their values as they are, such as variances, and a lossy
encoding can turn them into values that no device ever had.

float32 loses nothing. bfloat16 rounds to nearest, ties to even. int8 is symmetric: a block's scale is its largest
magnitude divided by 127, and each value the nearest multiple of it. What these two lose, a device adds to its next
update (error feedback: Seide et al., 2014, section 3; Karimireddy et al., 2019, algorithm 2): it is late, not lost.
"""

import functools
import itertools
import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.encoding_traits import traits_of
from protocol.messages import Encoding, ModelHeader
from protocol.messages import decode as decode_message
from protocol.tensors import (
    DTYPES,
    Header,
    InvalidTensorsError,
    Kind,
    SchemaMismatchError,
    TensorSpec,
    check_schema,
    encode_header,
    from_float32,
    kind_of,
    placed,
)

Buffer = bytes | bytearray | memoryview
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

BLOCK = 128
"""How many float coordinates share a scale."""

SCALES = "fedgrass..scales"
"""The tensor of scales in an update. No module of torch can hold a tensor by this name: no part of one is empty."""

_INTEGER_BYTES = 8
_SCALE_BYTES = 4
_BUFFER_BYTES = 4
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

    `tensors` are those of the update's file, in the order of their bytes; `floats`, parameters and then buffers, and
    `integers` are the model's, as coordinates. `scales_start`, `parameters_start` and `buffers_start` are the first
    bytes of these regions; the integers' is 0. `header_bytes` precede the data if there is no message.
    """

    encoding: Encoding
    tensors: tuple[TensorSpec, ...]
    floats: tuple[Coordinates, ...]
    integers: tuple[Coordinates, ...]
    n_parameters: int
    n_float: int
    n_int: int
    scales_start: int
    parameters_start: int
    buffers_start: int
    data_bytes: int
    header_bytes: int

    def tensor_of(self, coordinate: int) -> str:
        """The name of the tensor that has this float coordinate."""
        return next(tensor.name for tensor in self.floats if tensor.start <= coordinate < tensor.stop)


def blocks(coordinates: int) -> int:
    """How many blocks so many float coordinates are."""
    return math.ceil(coordinates / BLOCK)


@functools.lru_cache(maxsize=16)
def update_layout(model: Header, encoding: Encoding) -> UpdateLayout:
    """What updates to the model with this header look like. Which of its tensors are buffers, the header's message
    says; without one there are none.

    Raises:
        InvalidTensorsError: a tensor of the model has the name that is kept for scales.
        InvalidMessageError: the message is not that of a model.
    """
    if any(tensor.name == SCALES for tensor in model.tensors):
        raise InvalidTensorsError(f"no tensor of a model may be named {SCALES!r}: updates keep that name for scales")
    names = frozenset(decode_message(model.message, ModelHeader).buffers if model.message else ())
    of_kind: dict[Kind, list[TensorSpec]] = {"parameter": [], "buffer": [], "integer": []}
    for tensor in model.tensors:
        of_kind[kind_of(tensor, names)].append(tensor)
    parameters = _coordinates(of_kind["parameter"])
    n_parameters = parameters[-1].stop if parameters else 0
    floats = parameters + _coordinates(of_kind["buffer"], n_parameters)
    integers = _coordinates(of_kind["integer"])
    n_float = floats[-1].stop if floats else 0
    n_int = integers[-1].stop if integers else 0
    traits = traits_of(encoding)
    n_scales = blocks(n_parameters)
    scales = (Coordinates(SCALES, "F32", (n_scales,), 0, n_scales),) if traits.has_scales else ()
    regions = {
        "integers": ("I64", integers),
        "scales": ("F32", scales),
        "parameters": (traits.dtype, parameters),
        "buffers": ("F32", floats[len(parameters) :]),
    }
    regions = dict(sorted(regions.items(), key=lambda region: -DTYPES[region[1][0]].itemsize))
    sizes = [DTYPES[dtype].itemsize * sum(one.stop - one.start for one in some) for dtype, some in regions.values()]
    starts = dict(zip(regions, itertools.accumulate(sizes, initial=0), strict=False))
    tensors = placed((one.name, dtype, one.shape) for dtype, some in regions.values() for one in some)
    return UpdateLayout(
        encoding=encoding,
        tensors=tensors,
        floats=floats,
        integers=integers,
        n_parameters=n_parameters,
        n_float=n_float,
        n_int=n_int,
        scales_start=starts["scales"],
        parameters_start=starts["parameters"],
        buffers_start=starts["buffers"],
        data_bytes=sum(sizes),
        header_bytes=len(encode_header(tensors, "")),
    )


def _coordinates(tensors: Iterable[TensorSpec], position: int = 0) -> tuple[Coordinates, ...]:
    found = []
    for tensor in tensors:
        stop = position + tensor.size
        found.append(Coordinates(tensor.name, tensor.dtype, tensor.shape, position, stop))
        position = stop
    return tuple(found)


EVALUATION = update_layout(Header(tensors=(), length=0, message=""), "float32")
"""What clients send that evaluate: a report, and no tensors."""


def parameter_range(layout: UpdateLayout, first: int, stop: int) -> tuple[int, int]:
    """The bytes of the parameters' coordinates from `first` up to `stop`."""
    size = DTYPES[traits_of(layout.encoding).dtype].itemsize
    return layout.parameters_start + first * size, layout.parameters_start + stop * size


def buffer_range(layout: UpdateLayout, first: int, stop: int) -> tuple[int, int]:
    """The bytes of the buffers' elements from `first` up to `stop`, counted from the first one: float32,
    little-endian."""
    return layout.buffers_start + first * _BUFFER_BYTES, layout.buffers_start + stop * _BUFFER_BYTES


def scale_range(layout: UpdateLayout, first: int, stop: int) -> tuple[int, int]:
    """The bytes of the scales that `decode` needs for the parameters' coordinates from `first` up to `stop`: none, if
    the encoding has no scales."""
    if not traits_of(layout.encoding).has_scales or first == stop:
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
    """The differences at the parameters' coordinates from `first` up to `first + len(out)`, into `out`.

    `values` are the bytes of `parameter_range`, `scales` those of `scale_range`. Nothing is allocated. A value that is
    not finite comes out as such.
    """
    traits = traits_of(encoding)
    traits.widen(np.frombuffer(values, DTYPES[traits.dtype], len(out)), out)
    if traits.has_scales and len(out):
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


_NO_FLOATS: Floats = np.empty(0, np.float32)


class Encoded(msgspec.Struct, frozen=True):
    """Float coordinates as they travel: the parameters' `values` in the encoding's dtype, `scales` of int8 (otherwise
    none), and the `residual` that a device adds to its next update, None if nothing was lost; and the `buffers`."""

    values: NDArray[Any]
    scales: Floats
    residual: Floats | None
    buffers: Floats = _NO_FLOATS


def encode(delta: Floats, encoding: Encoding, residual: Floats | None = None) -> Encoded:
    """The parameters' coordinates of an update, flat, as they travel. `residual` is what the last update left out, for
    an encoding that leaves something out.

    Raises:
        NotFiniteError: a value is not finite, or too large for the encoding.
    """
    count, traits = len(delta), traits_of(encoding)
    if not traits.is_lossy:
        for first in range(0, count, _AT_ONCE):
            _require_finite(delta[first : first + _AT_ONCE], first)
        return Encoded(delta, _NO_FLOATS, None)
    values = np.empty(count, DTYPES[traits.dtype])
    scales = np.empty(blocks(count) if traits.has_scales else 0, np.float32)
    left = np.empty(count, np.float32)
    decoded = np.empty(min(count, _AT_ONCE), np.float32)
    for first in range(0, count, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, count))
        due = delta[part] if residual is None else delta[part] + residual[part]
        _require_finite(due, first)
        scales_part = scales[first // BLOCK : blocks(part.stop)]
        if traits.has_scales:
            _quantize(due, values[part], scales_part)
        else:
            values[part] = from_float32(due, traits.dtype)
        back = decoded[: len(due)]
        decode(encoding, values[part].data, back, first, scales_part.data)
        _require_finite(back, first)
        np.subtract(due, back, out=left[part])
    return Encoded(values, scales, left)


def encode_floats(layout: UpdateLayout, floats: Floats, residual: Floats | None = None) -> Encoded:
    """All float coordinates of an update, as they travel: as `encode`, and buffers as they are."""
    encoded = encode(floats[: layout.n_parameters], layout.encoding, residual)
    buffers = floats[layout.n_parameters :]
    _require_finite(buffers, layout.n_parameters)
    return msgspec.structs.replace(encoded, buffers=buffers)


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
    regions: list[tuple[int, NDArray[Any]]] = [
        (0, integers),
        (layout.scales_start, floats.scales),
        (layout.parameters_start, floats.values),
        (layout.buffers_start, floats.buffers),
    ]
    by_place = sorted(regions, key=lambda region: region[0])
    return encode_header(layout.tensors, message) + b"".join(array.data for _, array in by_place)
