"""`fedgrass watch`: a federation, seen until it is over."""

import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from cli.display import Display
from cli.errors.explained import explained
from cli.errors.kind import ExitCode
from reporting.round_figures import RoundFigures
from reporting.view import View
from reporting.watching import REFRESH_S, Looking

_PATIENCE_S = 60.0
"""So long AWS may be out of reach."""

_PASSING = (ExitCode.UNREACHABLE, ExitCode.TIMED_OUT)


class Patience:
    """Waits for AWS to be reached again; not for the first time, since then the configuration may be wrong."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reached_at: float | None = None

    def look(self, watcher: Looking) -> View | str:
        """What there is to see, or why nothing is seen for now.

        Raises:
            BotoCoreError, ClientError: that goes on for too long, or does not pass.
        """
        try:
            view = watcher.look()
        except (BotoCoreError, ClientError) as error:
            failure = explained(error)
            is_passing = failure.exit_code in _PASSING and self._reached_at is not None
            if not is_passing or self._clock() > (self._reached_at or 0.0) + _PATIENCE_S:
                raise
            return failure.message
        self._reached_at = self._clock()
        return view


def watch(watcher: Looking, display: Display, tell: Callable[[RoundFigures], None]) -> View:
    """Show the federation until it is over; returns the last that was seen. `tell` is called with each round that has
    ended.

    Raises:
        UnknownFederationError: see there.
        BotoCoreError, ClientError: AWS can't be reached.
    """
    patience, told = Patience(), 0
    with display:
        while True:
            seen = patience.look(watcher)
            if isinstance(seen, str):
                display.trouble(seen)
            else:
                display.show(seen)
                for figures in seen.ended[told:]:
                    tell(figures)
                told = len(seen.ended)
                if seen.is_over:
                    return seen
            time.sleep(REFRESH_S)
