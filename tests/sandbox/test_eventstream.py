import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.nucleus.eventstream import Decoder, Flags, Frame, MalformedFrameError, MessageType, encode

HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: not name.startswith(":")),
    st.one_of(st.text(max_size=100), st.integers(-(2**31), 2**31 - 1)),
    max_size=5,
)
FRAMES = st.builds(
    Frame,
    type=st.sampled_from(MessageType),
    flags=st.sampled_from([Flags.NONE, Flags.CONNECTION_ACCEPTED, Flags.TERMINATE_STREAM]),
    stream=st.integers(0, 2**31 - 1),
    headers=HEADERS,
    payload=st.binary(max_size=500),
)
FRAME = Frame(type=MessageType.APPLICATION_MESSAGE, stream=1, headers={"operation": "x"}, payload=b"{}")


@given(st.lists(FRAMES, max_size=4), st.integers(1, 50))
def test_frames_survive_in_pieces_of_any_size(frames: list[Frame], size: int) -> None:
    data = b"".join(map(encode, frames))
    decoder = Decoder()
    found = [frame for start in range(0, len(data), size) for frame in decoder.feed(data[start : start + size])]
    assert found == frames


@given(st.integers(0, len(encode(FRAME)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused(position: int, change: int) -> None:
    data = bytearray(encode(FRAME))
    data[position] ^= change
    with pytest.raises(MalformedFrameError):
        list(Decoder().feed(bytes(data)))


def test_every_type_of_header_is_read() -> None:
    headers = (
        b"\x01t\x00\x01f\x01\x01b\x02\xff\x01s\x03\x01\x00\x01l\x05"
        + struct.pack(">q", -5)
        + b"\x01y\x06\x00\x02ab\x01w\x08"
        + struct.pack(">q", 7)
        + b"\x01u\x09"
        + bytes(16)
    )
    (frame,) = Decoder().feed(_raw(_PROTOCOL + headers))
    assert dict(frame.headers) == {
        "t": True, "f": False, "b": -1, "s": 256, "l": -5, "y": b"ab", "w": 7, "u": bytes(16),
    }  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        b"",  # no type, flags, stream
        b"\x01t\x0a",  # a type that does not exist
        b"\x01t\x07\x00\x09short",
        b"\x01t\x07\x00\x01\xff",  # no UTF-8
        b"\x0d:message-type\x07\x00\x010",
    ],
)
def test_headers_that_are_none_are_refused(headers: bytes) -> None:
    with pytest.raises(MalformedFrameError):
        list(Decoder().feed(_raw(headers)))


def test_a_frame_of_absurd_length_is_refused_before_it_arrives() -> None:
    prelude = struct.pack(">II", 2**31, 0)
    with pytest.raises(MalformedFrameError, match="2147483648 bytes"):
        list(Decoder().feed(prelude + struct.pack(">I", zlib.crc32(prelude))))


_PROTOCOL = b"".join(
    bytes([len(name)]) + name + b"\x04\x00\x00\x00\x00" for name in (b":message-type", b":message-flags", b":stream-id")
)


def _raw(headers: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers
    return body + struct.pack(">I", zlib.crc32(body))
