"""What a round averages: its updates, and how their bytes are read."""

import functools
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import msgspec

from cloud.state.models import Models
from protocol.encodings import Buffer
from protocol.messages import Report


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A file in S3, of one version or the newest, whose data begins at byte `data_start`. `head` are its first bytes,
    as far as they are known already."""

    key: str
    data_start: int
    version_id: str | None = None
    head: bytes = b""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted update. `norm` is the L2 norm of its parameters' changes, `integer_change` the largest
    magnitude of its integers' ones, None if it was inspected when none was noted; it is `age` rounds late.

    `base` is the place of the model that it was trained from among those that the round's updates were trained from:
    0 is the present one, and None one that can't be read any more.
    """

    thing: str
    report: Report
    norm: float
    stored: Stored
    age: int = 0
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


@contextmanager
def waiting(waited_s: dict[str, float], kind: str) -> Iterator[None]:
    """Add how long the block takes to the seconds waited for something of this kind."""
    started = time.perf_counter()
    try:
        yield
    finally:
        waited_s[kind] = waited_s.get(kind, 0.0) + time.perf_counter() - started


class ObjectReader:
    """Reads files from S3; some ranges are fetched ahead. How long that takes nevertheless is added to `waited_s`.

    Raises:
        MissingObjectError: in `read`: a file is gone.
    """

    block_bytes = 2 << 20

    _AHEAD = 128

    def __init__(
        self,
        models: Models,
        files: Sequence[Stored],
        parallel: Executor,
        waited_s: dict[str, float],
        ahead_bytes: int = 64 << 20,
    ) -> None:
        self._models = models
        self._files = files
        self._parallel = parallel
        self._waited_s = waited_s
        self._ahead_bytes = ahead_bytes

    def read(self, requests: Iterable[Request]) -> Iterator[Fill]:
        """What was requested, in this order."""
        remaining = iter(requests)
        ahead: deque[tuple[int, Future[Buffer]]] = deque()
        under_way = ahead_bytes = 0
        while True:
            while under_way < self._AHEAD and (not under_way or ahead_bytes < self._ahead_bytes):
                request = next(remaining, None)
                if request is None:
                    break
                size, fetched = self._fetch(request)
                ahead.append((size, fetched))
                ahead_bytes += size
                under_way += 1 if size else 0
            if not ahead:
                return
            size, fetched = ahead.popleft()
            with waiting(self._waited_s, "read"):
                data = fetched.result()
            yield functools.partial(_copy, data)
            ahead_bytes -= size
            under_way -= 1 if size else 0

    def _fetch(self, request: Request) -> tuple[int, "Future[Buffer]"]:
        """What was requested, which may be on its way; and how many bytes of memory it takes: none if it was known."""
        file = self._files[request.file]
        start, end = file.data_start + request.start, file.data_start + request.end
        if end <= len(file.head):
            known: Future[Buffer] = Future()
            known.set_result(memoryview(file.head)[start:end])
            return 0, known
        fetch = functools.partial(self._models.range, file.key, start, end, version_id=file.version_id)
        return end - start, self._parallel.submit(fetch)


def _copy(data: Buffer, space: memoryview) -> None:
    space[:] = data
