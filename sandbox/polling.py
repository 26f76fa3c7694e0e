"""Waiting for what something leads to."""

import time
from collections.abc import Callable
from typing import TypeVar

LIMIT_S = 150.0
"""Longer than it takes until a message comes again whose invocation was cut off: the longest VisibilityTimeout of
cloud/template.yaml."""

_FIRST_POLL_S, _LAST_POLL_S = 0.05, 0.5
_GROWTH = 1.25
"""What is asked costs processor time, which what is waited for may need."""

_Answer = TypeVar("_Answer")


class NothingHappenedError(AssertionError):
    """What should have happened did not, in time."""


def eventually(question: Callable[[], _Answer | None], what: str, limit_s: float = LIMIT_S) -> _Answer:
    """The first answer that is true: not None or False, nor an empty list.

    Raises:
        NothingHappenedError: none came in time.
    """
    until, pause_s = time.monotonic() + limit_s, _FIRST_POLL_S
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > until:
            raise NothingHappenedError(f"waited {limit_s:.0f} s for {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * _GROWTH, _LAST_POLL_S)
