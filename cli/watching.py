"""`fedgrass watch`: a federation, seen until it is over."""

import time
from collections.abc import Callable

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from cli.display import Display
from cli.errors.explained import explained
from cli.errors.kind import ExitCode
from cli.gone_sandbox import is_gone
from reporting.round_figures import RoundFigures
from reporting.view import View
from reporting.watching import REFRESH_S, Looking

_PATIENCE_S = 60.0
"""So long AWS may be out of reach."""

GONE = "gone"
"""The state of a federation whose AWS, which was on this machine, has ended while it was watched."""

_PASSING = (ExitCode.UNREACHABLE, ExitCode.TIMED_OUT)


class GoneError(Exception):
    """The AWS that the federation was in was one of this machine, and has ended."""


class Patience:
    """Waits for AWS to be reached again; not for the first time, since then the configuration may be wrong."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reached_at: float | None = None

    def look(self, watcher: Looking) -> View | str:
        """What there is to see, or why nothing is seen for now.

        Raises:
            BotoCoreError, ClientError: that goes on for too long, or does not pass.
            GoneError: see there.
        """
        try:
            view = watcher.look()
        except (BotoCoreError, ClientError) as error:
            if self._reached_at is not None and is_gone(error):
                raise GoneError from error
            failure = explained(error)
            is_passing = failure.exit_code in _PASSING and self._reached_at is not None
            if not is_passing or self._clock() > (self._reached_at or 0.0) + _PATIENCE_S:
                raise
            return failure.message
        self._reached_at = self._clock()
        return view


def watch(watcher: Looking, display: Display, tell: Callable[[RoundFigures], None]) -> View:
    """Show the federation until it is over, or GONE; returns the last that was seen. `tell` is called with each round
    that has ended.

    Raises:
        UnknownFederationError: see there.
        BotoCoreError, ClientError: AWS can't be reached.
    """
    patience, told, last = Patience(), 0, View()
    with display:
        while True:
            try:
                seen = patience.look(watcher)
            except GoneError:
                return msgspec.structs.replace(last, state=GONE)
            if isinstance(seen, str):
                display.trouble(seen)
            else:
                last = seen
                display.show(seen)
                for figures in seen.ended[told:]:
                    tell(figures)
                told = len(seen.ended)
                if seen.is_over:
                    return seen
            time.sleep(REFRESH_S)
