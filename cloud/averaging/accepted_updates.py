"""What a round averages: its updates, and how their bytes are read."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import msgspec

from protocol.messages import Report


class S3Object(msgspec.Struct, frozen=True, kw_only=True):
    """A file in S3, of one version or the newest, whose data begins at byte `data_start`. `head` are its first bytes,
    as far as they are known already."""

    key: str
    data_start: int
    version_id: str | None = None
    head: bytes = b""


class AcceptedUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted update, which S3 had at `arrived_at`. `norm` is the L2 norm of its parameters' changes,
    `integer_change` the largest magnitude of its integers' ones, None if it was inspected when none was noted; it is
    `age` rounds late, and its client was selected with the probability `inclusion`.

    `base` is the place of the model that it was trained from among those that the round's updates were trained from:
    0 is the present one, and None one that can't be read any more.
    """

    thing: str
    report: Report
    norm: float
    stored: S3Object
    arrived_at: float = 0.0
    age: int = 0
    inclusion: float = 1.0
    integer_change: int | None = None
    base: int | None = 0


class Request(NamedTuple):
    """Bytes `start` to `end` of the data of a file, which is given by its place among the files that are read."""

    file: int
    start: int
    end: int


Fill = Callable[[memoryview], None]
"""Fills a space of a request's size with what was requested."""


class Reader(Protocol):
    """Reads ranges of files. `block_bytes` is how much of one is best read at a time."""

    block_bytes: int

    def read(self, requests: Iterable[Request]) -> Iterator[Fill]:
        """What was requested, in this order: each to be taken before the next is asked for."""


def read_whole(reader: Reader, requests: Iterable[Request]) -> Iterator[bytearray]:
    """What was requested, in this order, each in a space of its own."""
    first, second = itertools.tee(requests)
    for request, fill in zip(first, reader.read(second), strict=True):
        space = bytearray(request.end - request.start)
        fill(memoryview(space))
        yield space
