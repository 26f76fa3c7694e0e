"""Ctrl-C, and what else asks a simulation to end: it takes effect while clients' work is done, never while files are
written."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self, TypeVar

from components.client.trainer.interruptions import InterruptionError

_Item = TypeVar("_Item")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those of them that are ignored stay so, as nohup has it."""


class SimulationStoppedError(InterruptionError):
    """The simulation was asked to end. A task's own handlers let it pass, as other interruptions."""


class Stop:
    """Listens to signals, for the time of a `with` block."""

    def __init__(self) -> None:
        self._is_asked = False
        self._is_working = False

    def __enter__(self) -> Self:
        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._ask) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def work(self, work: Callable[[], _Item]) -> _Item:
        """What one piece of a user's work gives; see `working`."""
        with self._interruptible(), contextlib.redirect_stdout(sys.stderr):
            return work()

    def working(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """These items, each of which is work of a user's task: that may be cut short, and what it prints is no output
        of ours.

        Raises:
            SimulationStoppedError: a signal has come.
        """
        while True:
            with self._interruptible(), contextlib.redirect_stdout(sys.stderr):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        self._is_working = True
        try:
            if self._is_asked:
                raise SimulationStoppedError
            yield
        finally:
            self._is_working = False

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        if self._is_working:
            raise SimulationStoppedError
