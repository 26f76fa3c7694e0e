"""Waiting for what an attack, or a round, leads to."""

import time
from collections.abc import Callable
from typing import TypeVar

LIMIT_S = 150.0
_POLL_S = 0.02

_Answer = TypeVar("_Answer")


class NothingHappenedError(AssertionError):
    """What should have happened did not, in time."""


def eventually(question: Callable[[], _Answer | None], what: str) -> _Answer:
    """The first answer that is neither None nor False.

    Raises:
        NothingHappenedError: none came within LIMIT_S.
    """
    until = time.monotonic() + LIMIT_S
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > until:
            raise NothingHappenedError(f"waited {LIMIT_S:.0f} s for {what}")
        time.sleep(_POLL_S)
