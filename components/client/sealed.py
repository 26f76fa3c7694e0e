"""Files that say what they belong to, and end with a SHA-256 of all before it: one that is torn, or that a worn card
gives back wrong, is known for it.

    8 bytes, little endian: length of the header | header, JSON | body | 32 bytes: SHA-256

The JSON is that of Python's own library, which keeps infinities, nan and integers of any size.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import TypeVar

import msgspec

from components.client import durable

_LENGTH = struct.Struct("<Q")
_DIGEST_BYTES = 32

_Header = TypeVar("_Header", bound=msgspec.Struct)


class TornFileError(ValueError):
    """A sealed file is not what was written: cut off, damaged, or of another version of this component."""


def write(path: Path, header: msgspec.Struct, *body: bytes) -> None:
    """Replaces a sealed file, whose body is these bytes one after the other.

    Raises:
        OSError: see `durable.replace`.
    """
    text = json.dumps(msgspec.to_builtins(header)).encode()
    digest = hashlib.sha256()
    parts = (_LENGTH.pack(len(text)), text, *body)
    for part in parts:
        digest.update(part)
    durable.replace(path, *parts, digest.digest())


def read(path: Path, kind: type[_Header]) -> tuple[_Header, bytearray] | None:
    """The header and the body of a sealed file, None if there is no file.

    Raises:
        TornFileError: see there.
        OSError: it cannot be read.
    """
    try:
        raw = bytearray(path.read_bytes())
    except FileNotFoundError:
        return None
    if len(raw) < _LENGTH.size + _DIGEST_BYTES:
        raise TornFileError(f"it has only {len(raw)} bytes")
    with memoryview(raw) as view:
        if hashlib.sha256(view[:-_DIGEST_BYTES]).digest() != view[-_DIGEST_BYTES:]:
            raise TornFileError("its SHA-256 is wrong")
    (length,) = _LENGTH.unpack_from(raw)
    try:
        header = msgspec.convert(json.loads(raw[_LENGTH.size : _LENGTH.size + length]), kind)
    except (ValueError, RecursionError) as error:
        raise TornFileError(f"its header is not that of this component: {error}") from error
    del raw[-_DIGEST_BYTES:]
    del raw[: _LENGTH.size + length]
    return header, raw
