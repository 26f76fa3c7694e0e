"""Ctrl-C, and what is to end a command as Ctrl-C does."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import FrameType

_IGNORED_S = 60.0


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: everything is cleaned up. One that is ignored, as nohup has it
    of SIGHUP, stays so."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled_by(interrupt, signal.SIGTERM, signal.SIGHUP):
        yield


@contextlib.contextmanager
def interrupted_once(tell: Callable[[], None]) -> Iterator[None]:
    """The first of these signals, or Ctrl-C, is told at once, and ends the block; while the block takes down what it
    has, further ones are ignored for a minute. One that comes later is as good as the first, if something hangs."""
    signals: SimpleQueue[bool] = SimpleQueue()

    def wait() -> None:
        if signals.get():
            with contextlib.suppress(OSError):  # nobody reads it any more: that is met again
                tell()

    # What the signal finds half done may be a line that is printed, so none can be printed by its handler.
    telling = threading.Thread(target=wait, name="interruption", daemon=True)
    ignored_until = 0.0

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal ignored_until
        now = time.monotonic()
        if now >= ignored_until:
            ignored_until = now + _IGNORED_S
            signals.put(True)
            raise KeyboardInterrupt

    telling.start()
    try:
        with _handled_by(interrupt, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            yield
    finally:
        signals.put(False)
        telling.join()


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None], *names: signal.Signals) -> Iterator[None]:
    heeded = [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]
    before = {name: signal.signal(name, handler) for name in heeded}
    try:
        yield
    finally:
        for name, each in before.items():
            signal.signal(name, each)
