"""The copy of a model that is half as long: its float32 numbers in bfloat16, rounded to nearest, ties to even.

Its elements are in the model's own order, so that a range of the model's file is one of the copy's. All other dtypes
stay as they are. To widen bfloat16 to float32 is exact.
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from protocol.messages import ModelHeader, decode, encode
from protocol.tensors import DTYPES, TensorSpec, encode_header, from_float32, load, read_array

Buffer = bytes | bytearray | memoryview

_NARROWED = {"F32": "BF16"}
_NOT_FINITE = 0x7F80


class TooLargeNumberError(ArithmeticError):
    """A number is too large for bfloat16, or not finite; the text names the tensor."""


def narrow_bytes(dtype: str) -> int:
    """How many bytes an element of a model's dtype has in the copy."""
    return DTYPES[_NARROWED.get(dtype, dtype)].itemsize


def narrow_layout(tensors: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The tensors of the copy of a model with these."""
    placed: list[TensorSpec] = []
    position = 0
    for tensor in tensors:
        dtype = _NARROWED.get(tensor.dtype, tensor.dtype)
        end = position + tensor.size * narrow_bytes(tensor.dtype)
        placed.append(msgspec.structs.replace(tensor, dtype=dtype, start=position, end=end))
        position = end
    return tuple(placed)


def narrow(tensor: TensorSpec, data: Buffer) -> bytes:
    """The bytes in the copy of some elements of a tensor, from those in the model.

    Raises:
        TooLargeNumberError: see there.
    """
    if tensor.dtype not in _NARROWED:
        return bytes(data)
    narrowed = from_float32(np.frombuffer(data, DTYPES["F32"]), "BF16")
    if ((narrowed & _NOT_FINITE) == _NOT_FINITE).any():
        raise TooLargeNumberError(f"tensor {tensor.name!r} has values that BF16 can't hold")
    return narrowed.tobytes()


def narrow_model(model: bytes) -> bytes:
    """The copy of a whole model's file.

    Raises:
        InvalidTensorsError: it is none.
        TooLargeNumberError: see there.
    """
    header, _ = load(model)
    about = decode(header.message, ModelHeader)
    data = (narrow(tensor, read_array(header, tensor, model).tobytes()) for tensor in header.tensors)
    return b"".join((encode_header(narrow_layout(header.tensors), encode(about)), *data))
