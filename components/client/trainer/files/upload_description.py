"""What an upload contains, in full: names, types, shapes and sizes of its tensors, and all that its report says."""

from typing import Any

import msgspec

from protocol import tensors

SENT = "sent.json"
"""In the work directory: what the last update contained that was uploaded."""


class TensorDescription(msgspec.Struct, frozen=True):
    """One tensor of an update."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One S3 object: `report` and the tensors are all that is in it."""

    bucket: str
    key: str
    bytes: int
    report: dict[str, Any]
    tensors: tuple[TensorDescription, ...]


def describe(bucket: str, key: str, body: bytes | bytearray) -> Upload:
    """What this update contains.

    Raises:
        protocol.tensors.InvalidTensorsError: it is not one.
    """
    header = tensors.parse_header(body, len(body))
    return Upload(
        bucket=bucket,
        key=key,
        bytes=len(body),
        report=msgspec.json.decode(header.message),
        tensors=tuple(
            TensorDescription(tensor.name, tensor.dtype, tensor.shape, tensor.end - tensor.start)
            for tensor in header.tensors
        ),
    )
