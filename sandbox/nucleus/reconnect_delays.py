"""How long a nucleus takes about its line: to notice that it is dead, and to try again."""

import itertools
from collections.abc import Iterator

import msgspec


class LineWaits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: until a line on which nothing comes any more is known to be dead; and from one try to connect to the
    next, which doubles from the first to the longest."""

    notice_s: float
    first_retry_s: float
    max_retry_s: float

    def until_next_try(self, down_s: float) -> float:
        """From now to the next try to connect, when the line has been known to be down for so long."""
        tries = itertools.accumulate(self._waits())
        return next(at for at in tries if at >= down_s) - down_s

    def _waits(self) -> Iterator[float]:
        wait_s = self.first_retry_s
        while True:
            yield wait_s
            wait_s = min(2 * wait_s, self.max_retry_s)
