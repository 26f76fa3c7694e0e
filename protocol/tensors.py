"""Models and updates as safetensors bytes: a strict reader and a canonical writer, in numpy alone.

The format (https://github.com/huggingface/safetensors#format) is eight bytes of little-endian header length, a JSON
header {name: {dtype, shape, data_offsets}, "__metadata__": {str: str}}, and the tensors' bytes. The format's own
library is not used here because the averager needs the offsets (it reads ranges of files), and because bytes from a
device are checked against a declared size before anything of that size is allocated. Nothing is ever unpickled.

What fedgrass says of a file travels as one JSON string in the metadata, under the key "fedgrass".
"""

import hashlib
import math
import struct
from collections.abc import Container, Iterable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Kind = Literal["parameter", "buffer", "integer"]

DTYPES: dict[str, np.dtype[np.generic]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16: its upper half of a float32 is kept as bits
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""safetensors dtype -> how numpy holds it."""

FLOATING: frozenset[str] = frozenset({"F64", "F32", "F16", "BF16"})

MAX_HEADER_BYTES = 10_000_000
MAX_DIMENSIONS = 32
METADATA_KEY = "fedgrass"
_METADATA = "__metadata__"
_MAX_ARRAY_BYTES = 2**63 - 1
_LENGTH = struct.Struct("<Q")


class InvalidTensorsError(ValueError):
    """Bytes that are not the safetensors file they should be, or tensors that no such file can hold."""


class SchemaMismatchError(InvalidTensorsError):
    """A well-formed file whose tensors are not the ones expected."""


class TensorSpec(msgspec.Struct, frozen=True):
    """One tensor of a file: its bytes are `start` to `end` of the data, which begins after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Header(msgspec.Struct, frozen=True):
    """All that precedes the data of a file. `tensors` are in the order of their bytes; `length` counts the bytes
    up to the data; `message` is fedgrass's own JSON, "" if the file has none."""

    tensors: tuple[TensorSpec, ...]
    length: int
    message: str

    @property
    def data_bytes(self) -> int:
        """Length of the data, in bytes."""
        return self.tensors[-1].end if self.tensors else 0

    @property
    def by_name(self) -> dict[str, TensorSpec]:
        """The tensors by their names."""
        return {tensor.name: tensor for tensor in self.tensors}

    @property
    def schema(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name -> (dtype, shape)."""
        return {tensor.name: (tensor.dtype, tensor.shape) for tensor in self.tensors}


class _Metadata(msgspec.Struct, frozen=True):
    fedgrass: str = ""


class _About(msgspec.Struct, rename={"metadata": _METADATA}):
    metadata: _Metadata = _Metadata()


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def kind_of(tensor: TensorSpec, buffers: Container[str]) -> Kind:
    """What a tensor of a model is: trained, averaged only, or counted. `buffers` are the names of the second kind."""
    if tensor.dtype not in FLOATING:
        return "integer"
    return "buffer" if tensor.name in buffers else "parameter"


def header_length(first: bytes) -> int:
    """How many bytes precede the data, told by the first eight bytes of a file.

    Raises:
        InvalidTensorsError: fewer than eight bytes, or a header longer than 10 MB.
    """
    if len(first) < _LENGTH.size:
        raise InvalidTensorsError(f"{len(first)} bytes are too few for a safetensors file")
    (length,) = _LENGTH.unpack_from(first)
    if length > MAX_HEADER_BYTES:
        raise InvalidTensorsError(f"header of {length} bytes is over the limit of {MAX_HEADER_BYTES}")
    return _LENGTH.size + int(length)


def parse_header(data: bytes | bytearray | memoryview, total_bytes: int) -> Header:
    """The header of a file of `total_bytes`, of which `data` holds at least the header.

    Raises:
        InvalidTensorsError: it is not one: no JSON, an unknown dtype, a shape that no array can have, offsets that
            overlap, leave holes, don't fit shape and dtype, or don't fill the file exactly.
    """
    length = header_length(bytes(data[: _LENGTH.size]))
    if length > min(len(data), total_bytes):
        raise InvalidTensorsError(f"header of {length} bytes in a file of {total_bytes}")
    try:
        raw = msgspec.json.decode(bytes(data[_LENGTH.size : length]), type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(raw.pop(_METADATA, msgspec.Raw(b"{}")), type=dict[str, str])
        entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTensorsError(f"header is not a safetensors header: {error}") from error
    tensors = sorted(
        (TensorSpec(name, e.dtype, e.shape, *e.data_offsets) for name, e in entries.items()),
        key=lambda tensor: (tensor.start, tensor.end),
    )
    position = 0
    for tensor in tensors:
        dtype = DTYPES.get(tensor.dtype)
        if dtype is None:
            raise InvalidTensorsError(f"tensor {tensor.name!r} has dtype {tensor.dtype!r}, which is not supported")
        if not _is_possible(tensor.shape, dtype.itemsize):
            raise InvalidTensorsError(f"tensor {tensor.name!r} has a shape that no tensor can have")
        if tensor.start != position or tensor.end - tensor.start != tensor.size * dtype.itemsize:
            raise InvalidTensorsError(
                f"tensor {tensor.name!r}: bytes {tensor.start} to {tensor.end} don't fit {tensor.dtype} "
                f"{list(tensor.shape)} at {position}"
            )
        position = tensor.end
    if length + position != total_bytes:
        raise InvalidTensorsError(f"file has {total_bytes} bytes, its header describes {length + position}")
    return Header(tuple(tensors), length, metadata.get(METADATA_KEY, ""))


def parse_message(data: bytes | bytearray | memoryview) -> str:
    """fedgrass's own JSON in the header that `data` begins with. Nothing else of the header is looked at or kept.

    Raises:
        InvalidTensorsError: as `header_length`; or it is no JSON, or cut off.
    """
    length = header_length(bytes(data[: _LENGTH.size]))
    if length > len(data):
        raise InvalidTensorsError(f"header of {length} bytes in a file of {len(data)}")
    try:
        return msgspec.json.decode(data[_LENGTH.size : length], type=_About).metadata.fedgrass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTensorsError(f"header is not a safetensors header: {error}") from error


def _is_possible(shape: tuple[int, ...], itemsize: int) -> bool:
    # numpy refuses a shape whose dimensions other than zero are more than it can address, even of an empty array.
    return (
        len(shape) <= MAX_DIMENSIONS
        and all(dimension >= 0 for dimension in shape)
        and math.prod(max(dimension, 1) for dimension in shape) * itemsize <= _MAX_ARRAY_BYTES
    )


def read_array(header: Header, tensor: TensorSpec, data: bytes | bytearray | memoryview) -> Array:
    """A view (no copy) of one tensor in the bytes of a whole file."""
    return np.frombuffer(data, DTYPES[tensor.dtype], tensor.size, header.length + tensor.start).reshape(tensor.shape)


def load(data: bytes | bytearray | memoryview) -> tuple[Header, dict[str, Array]]:
    """A whole file: its header, and a view of each tensor by name, in the order of their bytes.

    BF16 comes as uint16 bits; `to_float32` gives its values.

    Raises:
        InvalidTensorsError: as `parse_header`.
    """
    header = parse_header(data, len(data))
    return header, {tensor.name: read_array(header, tensor, data) for tensor in header.tensors}


def layout(schema: Mapping[str, tuple[str, tuple[int, ...]]], buffers: Iterable[str] = ()) -> tuple[TensorSpec, ...]:
    """The canonical order of tensors in a file: widest dtype first (so that all are aligned), in each dtype parameters
    before buffers, then by name. `schema` is name -> (dtype, shape).

    Raises:
        InvalidTensorsError: a dtype that is not supported.
    """
    buffer_names = set(buffers)
    for name, (dtype, _) in schema.items():
        if dtype not in DTYPES:
            raise InvalidTensorsError(
                f"tensor {name!r} has dtype {dtype!r}, which is not supported: use one of {', '.join(DTYPES)}"
            )

    def order(name: str) -> tuple[int, str, bool, str]:
        dtype = schema[name][0]
        return -DTYPES[dtype].itemsize, dtype, name in buffer_names, name

    return placed((name, *schema[name]) for name in sorted(schema, key=order))


def placed(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> tuple[TensorSpec, ...]:
    """Tensors, each given by name, dtype and shape, with their bytes one after another."""
    found = []
    position = 0
    for name, dtype, shape in tensors:
        end = position + math.prod(shape) * DTYPES[dtype].itemsize
        found.append(TensorSpec(name, dtype, tuple(shape), position, end))
        position = end
    return tuple(found)


def encode_header(tensors: Iterable[TensorSpec], message: bytes | str) -> bytes:
    """The bytes that precede the data of a file with these tensors; the data is aligned to eight bytes.

    Raises:
        InvalidTensorsError: a tensor has the name that the format keeps for its metadata.
    """
    text = message if isinstance(message, str) else message.decode()
    entries: dict[str, object] = {_METADATA: {METADATA_KEY: text}}
    for tensor in tensors:
        if tensor.name == _METADATA:
            raise InvalidTensorsError(f"no tensor may be named {_METADATA!r}: the format keeps that name for itself")
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": (tensor.start, tensor.end),
        }
    header = msgspec.json.encode(entries)
    header += b" " * (-len(header) % 8)
    return _LENGTH.pack(len(header)) + header


def dump(
    arrays: Mapping[str, Array], dtypes: Mapping[str, str], message: bytes | str, buffers: Iterable[str] = ()
) -> bytes:
    """A whole file, in the canonical order: the same tensors and message always give the same bytes.

    `dtypes` is name -> safetensors dtype; each array has the numpy dtype that `DTYPES` gives for it.

    Raises:
        InvalidTensorsError: a dtype that is not supported, or an array that does not have it.
    """
    tensors = layout({name: (dtypes[name], np.shape(array)) for name, array in arrays.items()}, buffers)
    parts = [encode_header(tensors, message)]
    for tensor in tensors:
        array = np.ascontiguousarray(arrays[tensor.name])
        if array.dtype != DTYPES[tensor.dtype]:
            raise InvalidTensorsError(f"tensor {tensor.name!r} is {array.dtype}, which is not {tensor.dtype}")
        parts.append(array.tobytes())
    return b"".join(parts)


def to_float32(array: Array, dtype: str) -> NDArray[np.float32]:
    """A floating-point tensor's values in float32 (BF16 from its bits, exactly)."""
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def from_float32(values: NDArray[np.float32], dtype: str) -> Array:
    """Values in float32 as the bits of a floating-point dtype, rounded to nearest, ties to even."""
    if dtype == "BF16":
        bits = np.asarray(values, np.float32, order="C").view(np.uint32)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
    return values.astype(DTYPES[dtype], copy=False)


def schema_id(schema: Mapping[str, tuple[str, tuple[int, ...]]]) -> str:
    """SHA-256 of a schema: the same for the same names, dtypes and shapes, whatever their order."""
    return hashlib.sha256(msgspec.json.encode(sorted(schema.items()))).hexdigest()


def check_schema(header: Header, expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Passes if a file holds exactly the expected tensors.

    Raises:
        SchemaMismatchError: a tensor is missing, not expected, or has another dtype or shape; the text names it.
    """
    found = header.schema
    for name in expected.keys() - found.keys():
        raise SchemaMismatchError(f"tensor {name!r} is missing")
    for name, (dtype, shape) in found.items():
        if name not in expected:
            raise SchemaMismatchError(f"tensor {name!r} is not one of the model's")
        if (dtype, shape) != expected[name]:
            want_dtype, want_shape = expected[name]
            raise SchemaMismatchError(
                f"tensor {name!r} is {dtype} {list(shape)}, the model needs {want_dtype} {list(want_shape)}"
            )
