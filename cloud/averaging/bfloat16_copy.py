"""The bfloat16 copy of a model, half as long: its float32 parameters in bfloat16, rounded to nearest, ties to even.

Its elements are in the model's own order, so that a range of the model's file is one of the copy's. All other dtypes
stay as they are, and so do buffers: a change that a device made to a rounded value, such as a variance, may be larger
than the value that it is added to. To widen bfloat16 to float32 is exact.
"""

from collections.abc import Iterable

import numpy as np

from protocol.messages import ModelHeader, decode, encode
from protocol.tensors import DTYPES, Kind, TensorSpec, encode_header, from_float32, kind_of, load, placed, read_array

Buffer = bytes | bytearray | memoryview

_NARROWED = {"F32": "BF16"}
_NOT_FINITE = 0x7F80


class TooLargeNumberError(ArithmeticError):
    """A number is too large for bfloat16, or none; the text names the tensor. Infinity is one that it has."""


def bfloat16_bytes(dtype: str, kind: Kind) -> int:
    """How many bytes an element of a model's dtype has in the copy, in a tensor of this kind."""
    return DTYPES[_narrowed(dtype, kind)].itemsize


def _narrowed(dtype: str, kind: Kind) -> str:
    return _NARROWED.get(dtype, dtype) if kind == "parameter" else dtype


def bfloat16_layout(tensors: Iterable[TensorSpec], buffers: Iterable[str]) -> tuple[TensorSpec, ...]:
    """The tensors of the copy of a model with these, of which `buffers` are no parameters."""
    names = frozenset(buffers)
    return placed((tensor.name, _narrowed(tensor.dtype, kind_of(tensor, names)), tensor.shape) for tensor in tensors)


def to_bfloat16(tensor: TensorSpec, kind: Kind, data: Buffer) -> bytes:
    """The bytes in the copy of some elements of a tensor of this kind, from those in the model.

    Raises:
        TooLargeNumberError: see there.
    """
    if _narrowed(tensor.dtype, kind) == tensor.dtype:
        return bytes(data)
    values = np.frombuffer(data, DTYPES["F32"])
    narrowed = from_float32(values, "BF16")
    if (((narrowed & _NOT_FINITE) == _NOT_FINITE) & ~np.isinf(values)).any():
        raise TooLargeNumberError(f"tensor {tensor.name!r} has values that BF16 can't hold")
    return narrowed.tobytes()


def bfloat16_copy_of(model: bytes) -> bytes:
    """The copy of a whole model's file.

    Raises:
        InvalidTensorsError: it is none.
        TooLargeNumberError: see there.
    """
    header, _ = load(model)
    about = decode(header.message, ModelHeader)
    buffers = frozenset(about.buffers)
    data = (
        to_bfloat16(tensor, kind_of(tensor, buffers), read_array(header, tensor, model).tobytes())
        for tensor in header.tensors
    )
    return b"".join((encode_header(bfloat16_layout(header.tensors, buffers), encode(about)), *data))
