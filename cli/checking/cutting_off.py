"""Cutting off a function of the task that takes longer than there is time for."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from components.client.trainer.interruptions import InterruptionError


class CutOffError(InterruptionError):
    """It was not waited for any longer."""


@contextlib.contextmanager
def cut_off_after(seconds: float) -> Iterator[None]:
    """Raise CutOffError in the block when it has taken so long; in code that is not Python's, when that returns. An
    import is let come to its end, and does not count: what is half imported can't be imported again."""

    def cut_off(_number: int, frame: FrameType | None) -> None:
        if not _is_importing(frame):
            raise CutOffError
        signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.signal(signal.SIGALRM, cut_off)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
