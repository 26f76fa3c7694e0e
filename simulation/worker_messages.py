"""What a simulation and its workers say to each other: frames of MessagePack over two pipes, one request at a time."""

import struct
from typing import BinaryIO

import msgspec

from protocol.messages import Assignment
from simulation.backend import Done, NotDone, Work
from simulation.local_clients import Setup

_LENGTH = struct.Struct("<Q")


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """Load the task of these clients: the first request."""

    setup: Setup


class CountExamples(msgspec.Struct, frozen=True, tag="count"):
    """Load the data of a client."""

    thing: str


class Model(msgspec.Struct, frozen=True, tag="model"):
    """Train from this global model, from now on. There is no answer."""

    file: bytes


class Train(msgspec.Struct, frozen=True, tag="train"):
    """Do a client's work for an assignment, from the last model."""

    assignment: Assignment
    work: Work


Request = Begin | CountExamples | Model | Train


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The task is loaded."""


class Unusable(msgspec.Struct, frozen=True, tag="unusable"):
    """The task cannot be loaded."""

    reason: str


class Examples(msgspec.Struct, frozen=True, tag="examples"):
    """How many training examples a client has."""

    thing: str
    count: int


Result = Examples | Done | NotDone
"""What comes of a request for one client."""

Answer = Ready | Unusable | Result


def write(stream: BinaryIO, message: Request | Answer) -> None:
    """Says something."""
    data = msgspec.msgpack.encode(message)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def read(stream: BinaryIO) -> bytes | None:
    """What the other side says next; None if it says no more."""
    start = stream.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(start)
    data = stream.read(length)
    return data if len(data) == length else None
