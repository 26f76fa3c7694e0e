"""How the runs of an experiment go, as a person sees it: on a terminal a picture that moves, elsewhere a line a run."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.progress_bar import ProgressBar

from cli.experiments.metrics import Metric
from cli.experiments.results import rounds_of
from cli.experiments.runs import PlannedRun
from cli.experiments.work import TYPICAL_EXAMPLES, examples_in
from cli.plurals import counted
from cli.screen import Screen
from reporting.records import RoundLine

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 8
"""So many of the runs that are under way are shown."""


class Progress:
    """Shows how these runs go, for the time of a `with` block: `done` are others that were done before, `clients` how
    many each combination has. `look` is called with each round."""

    def __init__(
        self,
        screen: Screen,
        runs: Sequence[PlannedRun],
        done: int,
        clients: Mapping[str, int],
        metrics: Sequence[Metric],
        look: Callable[[RoundLine], None],
    ) -> None:
        self._screen = screen
        self._runs = runs
        self._done = done
        self._clients = clients
        self._metrics = metrics
        self._look = look
        self._failed = 0
        self._reasons: set[str] = set()
        self._begun: dict[Path, float] = {}
        self._under_way: dict[Path, PlannedRun] = {}
        self._shares: dict[Path, float] = {}
        self._examples = float(TYPICAL_EXAMPLES)
        self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._screen.is_terminal:
            self._screen.start_moving()
        return self

    def __exit__(self, *_: object) -> None:
        self._screen.stop_moving()

    def begun(self, run: PlannedRun) -> None:
        """See `Watcher`."""
        self._under_way[run.out] = run
        self._begun[run.out] = time.monotonic()
        self._show()

    def computed_apart(self, run: PlannedRun, reason: str) -> None:
        """See `Watcher`. Each reason is told once."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._screen.line(f"{run.name}: clients are computed one after the other: {reason}")

    def round_ended(self, run: PlannedRun, line: RoundLine) -> None:
        """See `Watcher`."""
        self._look(line)
        self._shares[run.out] = line.round / run.project.settings.rounds
        if line.accepted:
            self._examples = line.examples / line.accepted
        self._show()

    def ended(self, run: PlannedRun, failure: str | None) -> None:
        """See `Watcher`."""
        del self._under_way[run.out]
        self._shares[run.out] = 1.0
        rounds = rounds_of(run, failure)
        self._done += rounds.failure is None
        self._failed += rounds.failure is not None
        if rounds.failure is not None:
            self._screen.line(f"{run.name}: failed: {rounds.failure}")
        elif not self._screen.is_terminal:
            values = ((metric.text, metric.value(rounds.lines)) for metric in self._metrics)
            told = ", ".join(f"{text} {'-' if value is None else format(value, '.4g')}" for text, value in values)
            self._screen.line(f"{run.name}: {told}, {time.monotonic() - self._begun[run.out]:.1f} s")
        self._show()

    def _show(self) -> None:
        if not self._screen.is_terminal:
            return
        to_do = len(self._runs) - sum(share == 1.0 for share in self._shares.values()) - len(self._under_way)
        failed = f", {self._failed} failed" if self._failed else ""
        counts = f"{counted(self._done, 'run')} done{failed}, {len(self._under_way)} under way, {to_do} to come"
        share = self._share()
        running = [f"  {run.name}: {self._shares.get(run.out, 0.0):.0%}" for run in self._under_way.values()]
        self._screen.picture(
            f"{counts}{self._time_left(share)}", ProgressBar(total=1.0, completed=share, width=60), *running[:_SHOWN]
        )

    def _share(self) -> float:
        """How much of what there is to compute has been."""
        amounts = {run.out: examples_in(run, self._clients[run.combination], self._examples) for run in self._runs}
        return sum(amounts[out] * share for out, share in self._shares.items()) / sum(amounts.values())

    def _time_left(self, share: float) -> str:
        if not share:
            return ""
        left_s = (time.monotonic() - self._started) * (1 - share) / share
        return f", about {duration(left_s)} left"


def duration(seconds: float) -> str:
    """About so long, in words."""
    if seconds < 2 * 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
