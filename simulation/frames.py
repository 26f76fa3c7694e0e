"""Messages between a process that computes and the one that has started it: frames of MessagePack over two pipes."""

import os
import struct
from typing import BinaryIO

import msgspec

_LENGTH = struct.Struct("<Q")


def write(stream: BinaryIO, message: msgspec.Struct) -> None:
    """Says something."""
    data = msgspec.msgpack.encode(message)
    for part in (_LENGTH.pack(len(data)), data):
        rest = memoryview(part)
        while rest:
            rest = rest[stream.write(rest) :]
    stream.flush()


def read(stream: BinaryIO) -> bytearray | None:
    """What the other side says next; None if it says no more."""
    start = _exactly(stream, _LENGTH.size)
    if start is None:
        return None
    (length,) = _LENGTH.unpack(start)
    return _exactly(stream, length)


def _exactly(stream: BinaryIO, count: int) -> bytearray | None:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        got = stream.readinto(rest)  # type: ignore[attr-defined]
        if not got:
            return None
        rest = rest[got:]
    return data


def taken_streams() -> tuple[BinaryIO, BinaryIO]:
    """This process's standard input and output, out of the reach of a task: what that reads is empty, what it prints is
    no answer."""
    requests, answers = _take(0, "rb"), _take(1, "wb")
    os.register_at_fork(after_in_child=lambda: _part(requests, answers))
    return requests, answers


def _take(descriptor: int, mode: str) -> BinaryIO:
    taken = os.dup(descriptor)
    if descriptor:
        os.dup2(2, descriptor)
    else:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, descriptor)
        os.close(nothing)
    return os.fdopen(taken, mode)  # type: ignore[return-value]


def _part(requests: BinaryIO, answers: BinaryIO) -> None:
    """In a process that the task has forked: that this one has ended is seen by the pipe's end."""
    os.close(requests.fileno())
    os.close(answers.fileno())
