"""What is known of a model before its first round: a size, or a file."""

import math
from pathlib import Path

from protocol.messages import ModelHeader, decode
from protocol.tensors import Header, TensorSpec, encode_header, header_length, parse_header


def model_of(size: int) -> Header:
    """The header of a model of so many bytes of float32, in one tensor, if nothing more is known of it."""
    elements = max(1, math.ceil(size / 4))
    tensors = (TensorSpec("model", "F32", (elements,), 0, 4 * elements),)
    return Header(tensors, len(encode_header(tensors, "")), "")


def headers_of(model: Path) -> tuple[Header, ModelHeader]:
    """What a model's file says of its tensors, and of itself; nothing of the latter, if fedgrass did not write it.

    Raises:
        InvalidTensorsError: it is no safetensors file.
        InvalidMessageError: what it says of itself can't be read.
    """
    with model.open("rb") as file:
        length = header_length(file.read(8))
        file.seek(0)
        header = parse_header(file.read(length), model.stat().st_size)
    return header, decode(header.message, ModelHeader) if header.message else ModelHeader(federation="f", round=0)
