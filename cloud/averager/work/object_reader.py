"""Ranges of files in S3, fetched ahead."""

import functools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager

from cloud.averaging.accepted_updates import Fill, Request, S3Object
from cloud.state.models import Models
from protocol.encodings import Buffer


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
        files: Sequence[S3Object],
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
