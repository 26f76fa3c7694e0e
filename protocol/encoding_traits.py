"""What tells the encodings of updates apart, looked up here and nowhere else."""

from collections.abc import Callable
from typing import Any, assert_never

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.messages import Encoding


def _copy(raw: NDArray[Any], out: NDArray[np.float32]) -> None:
    np.copyto(out, raw)


def _widen_bfloat16(raw: NDArray[Any], out: NDArray[np.float32]) -> None:
    bits = out.view(np.uint32)
    np.copyto(bits, raw)
    np.left_shift(bits, 16, out=bits)


class EncodingTraits(msgspec.Struct, frozen=True, kw_only=True):
    """How the parameters' coordinates travel: in which safetensors `dtype`, with a scale a block or without; `is_lossy`
    if they come out as others than they went in. `widen` makes float32 of them, into an array that is there already."""

    dtype: str
    has_scales: bool = False
    is_lossy: bool = True
    widen: Callable[[NDArray[Any], NDArray[np.float32]], None] = _copy


FLOAT32 = EncodingTraits(dtype="F32", is_lossy=False)
BFLOAT16 = EncodingTraits(dtype="BF16", widen=_widen_bfloat16)
INT8 = EncodingTraits(dtype="I8", has_scales=True)


def traits_of(encoding: Encoding) -> EncodingTraits:
    """The traits of the encoding that settings name."""
    match encoding:
        case "float32":
            return FLOAT32
        case "bfloat16":
            return BFLOAT16
        case "int8":
            return INT8
        case _:
            assert_never(encoding)
