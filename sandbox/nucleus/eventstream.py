"""The frames of Greengrass IPC: AWS's event-stream encoding, as the device SDK speaks it on the Unix socket.

All integers are big endian, all checksums CRC32:

    u32 total length | u32 headers' length | u32 checksum of these two | headers | payload | u32 checksum of all before

A header is a u8 name length, the name, a u8 type and a value whose size the type tells.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from enum import IntEnum, IntFlag

import msgspec

HeaderValue = bool | int | str | bytes

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CHECKSUM.size
MAX_FRAME_BYTES = _OVERHEAD + MAX_HEADERS_BYTES + MAX_PAYLOAD_BYTES
_INT32 = 4
_STRING = 7
_BOOLEANS = {0: True, 1: False}
_INTEGERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), _INT32: struct.Struct(">i"), 5: struct.Struct(">q")}
_TIMESTAMP = 8
_BYTES = 6
_UUID = 9
_LENGTH = struct.Struct(">H")


class MalformedFrameError(ValueError):
    """Bytes that are no frame; the stream they came from can't be read any further."""


class MessageType(IntEnum):
    """The header `:message-type`."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


class Flags(IntFlag):
    """The header `:message-flags`."""

    NONE = 0
    CONNECTION_ACCEPTED = 1
    TERMINATE_STREAM = 2


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Streams are numbered from 1; 0 is the connection itself. `headers` are the ones besides
    type, flags and stream, by name."""

    type: MessageType
    flags: Flags = Flags.NONE
    stream: int = 0
    headers: Mapping[str, HeaderValue] = {}
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The frame's bytes. Of header values, integers of 32 bits and strings can be written."""
    headers = bytearray()
    protocol = {":message-type": int(frame.type), ":message-flags": int(frame.flags), ":stream-id": frame.stream}
    for name, value in {**protocol, **frame.headers}.items():
        encoded_name = name.encode()
        headers += bytes([len(encoded_name)]) + encoded_name
        if isinstance(value, str):
            text = value.encode()
            headers += bytes([_STRING]) + _LENGTH.pack(len(text)) + text
        elif isinstance(value, int):
            headers += bytes([_INT32]) + _INTEGERS[_INT32].pack(value)
        else:
            raise TypeError(f"header {name!r}: {type(value).__name__} values are not written")
    prelude = struct.pack(">II", _OVERHEAD + len(headers) + len(frame.payload), len(headers))
    body = b"".join((prelude, _CHECKSUM.pack(zlib.crc32(prelude)), headers, frame.payload))
    return body + _CHECKSUM.pack(zlib.crc32(body))


class Decoder:
    """Takes bytes as they arrive, gives frames of at most `max_frame_bytes` as they are complete."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete.

        Raises:
            MalformedFrameError: a checksum, a length or a header is wrong. The decoder is of no more use then.
        """
        self._buffer += data
        while len(self._buffer) >= _PRELUDE.size:
            total, headers_length, checksum = _PRELUDE.unpack_from(self._buffer)
            if zlib.crc32(self._buffer[:8]) != checksum:
                raise MalformedFrameError("checksum of a frame's lengths is wrong")
            payload_length = total - headers_length - _OVERHEAD
            too_long = total > self._max_frame_bytes or headers_length > MAX_HEADERS_BYTES
            if too_long or not 0 <= payload_length <= MAX_PAYLOAD_BYTES:
                raise MalformedFrameError(f"frame of {total} bytes with {headers_length} bytes of headers")
            if len(self._buffer) < total:
                return
            raw = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _parse(raw, headers_length)


def _parse(raw: bytes, headers_length: int) -> Frame:
    (checksum,) = _CHECKSUM.unpack_from(raw, len(raw) - _CHECKSUM.size)
    if zlib.crc32(raw[: -_CHECKSUM.size]) != checksum:
        raise MalformedFrameError("checksum of a frame is wrong")
    end = _PRELUDE.size + headers_length
    try:
        headers = dict(_parse_headers(raw[_PRELUDE.size : end]))
        return Frame(
            type=MessageType(_take_integer(headers, ":message-type")),
            flags=Flags(_take_integer(headers, ":message-flags")),
            stream=_take_integer(headers, ":stream-id"),
            headers=headers,
            payload=raw[end : -_CHECKSUM.size],
        )
    except (struct.error, ValueError, IndexError) as error:
        raise MalformedFrameError(f"headers of a frame are wrong: {error}") from error


def _take_integer(headers: dict[str, HeaderValue], name: str) -> int:
    value = headers.pop(name, None)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedFrameError(f"header {name!r} is {value!r}, not an integer")
    return value


def _parse_headers(raw: bytes) -> Iterator[tuple[str, HeaderValue]]:
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        part = raw[position : position + size]
        if len(part) < size:
            raise MalformedFrameError("a header ends before its value does")
        position += size
        return part

    while position < len(raw):
        name = take(take(1)[0]).decode()
        kind = take(1)[0]
        value: HeaderValue
        if kind in _BOOLEANS:
            value = _BOOLEANS[kind]
        elif kind in _INTEGERS:
            value = _INTEGERS[kind].unpack(take(_INTEGERS[kind].size))[0]
        elif kind == _STRING:
            value = take(_LENGTH.unpack(take(2))[0]).decode()
        elif kind == _BYTES:
            value = take(_LENGTH.unpack(take(2))[0])
        elif kind == _TIMESTAMP:
            value = _INTEGERS[5].unpack(take(8))[0]
        elif kind == _UUID:
            value = take(16)
        else:
            raise MalformedFrameError(f"header {name!r} has type {kind}, which does not exist")
        yield name, value
