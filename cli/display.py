"""What a person sees of a federation: a line for each round, and below them, on a terminal, a live picture."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cli import model_warnings, run_failures
from cli.outcome import Outcome
from cli.picture import picture
from cli.run_report import show_closing
from cli.screen import Screen
from cli.sparkline import BARS
from cli.table import Table
from protocol.messages import Numbers
from reporting.round_figures import RoundFigures
from reporting.view import View

if TYPE_CHECKING:
    from rich.console import RenderableType


class Display:
    """Shows federations, one after another, for the time of a `with` block."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._shown = 0
        self._held_by: str | None = None
        self._trouble: str | None = None

    def __enter__(self) -> "Display":
        if self.screen.is_terminal:
            self.screen.start_moving()
        return self

    def __exit__(self, *_: object) -> None:
        self.screen.stop_moving()

    def say(self, what: str) -> None:
        """One line on what is being done."""
        if self.screen.is_terminal:
            self.screen.picture(f"{what} ...")
        else:
            self.screen.line(what)

    def begin(self, what: str) -> None:
        """The heading of a run."""
        self._shown = 0
        self.screen.line(what, "bold")

    def show(self, view: View) -> None:
        """The state of the federation."""
        for figures in view.ended[self._shown :]:
            self.screen.sentence(_line(figures))
            warned = model_warnings.lines(figures.not_finite, figures.warnings)
            for line in (*warned, *run_failures.lines(figures.failing)):
                self.screen.line(f"  {line}")
        self._shown = len(view.ended)
        if view.held_by != self._held_by:
            self._held_by = view.held_by
            self.screen.line(view.held_by or "it goes on")
        self._trouble = None
        if self.screen.is_terminal:
            self.screen.picture(*self._picture(view))

    def leave(self, view: View) -> None:
        """What there was to see at last, to stay on the terminal when nothing moves any more."""
        if self.screen.is_terminal:
            self.screen.leave(*self._picture(view))

    def _picture(self, view: View) -> list["RenderableType"]:
        return picture(view, time.time(), columns=self.screen.columns, has_bars=self.screen.can_show(BARS))

    def trouble(self, what: str) -> None:
        """Why nothing is seen at the moment: told once, until something is seen again."""
        if what != self._trouble:
            self._trouble = what
            self.screen.line(what)

    def report(self, outcome: Outcome) -> None:
        """What the run came to, and where things are."""
        more = [
            (
                "memory",
                f"{outcome.memory_mb:,.0f} MB together; an idle agent has {outcome.idle_agent_mb:.0f} MB (median)",
            ),
            ("start", f"{outcome.started_s:.1f} s from the command to the first round"),
        ]
        if outcome.run_folder is not None:
            show_closing(self.screen, Path(outcome.run_folder), more)
        for line in run_failures.logs(outcome.history, Path(outcome.kept) if outcome.kept else None):
            self.screen.line(line)
        if outcome.chaos:
            self._report_chaos(outcome)

    def _report_chaos(self, outcome: Outcome) -> None:
        rows = []
        for each in outcome.chaos:
            rounds = "all" if len(each.rounds) == outcome.rounds else ", ".join(map(str, each.rounds))
            rows.append((each.fault, str(each.injected), rounds, "yes" if each.survived else "no"))
        columns = ("fault", "injected", "in rounds", "survived")
        self.screen.table(Table(title="what was done to it", columns=columns, rows=rows))
        for each in outcome.chaos:
            for problem in each.problems:
                self.screen.line(f"{each.fault}: {problem}")
        if outcome.accuracy is not None and outcome.calm_accuracy is not None:
            self.screen.line(f"accuracy {outcome.accuracy:.1%}; without faults {outcome.calm_accuracy:.1%}")


def _line(figures: RoundFigures) -> str:
    split = " ".join(f"{step} {seconds:.2f}" for step, seconds in figures.split.items())
    parts = [
        f"{figures.accepted} of {figures.asked} {'evaluations' if figures.evaluates else 'updates'}",
        model_warnings.text_of(_telling(figures)),
        _worst(figures) if figures.evaluates else "",
        f"{figures.round_s:.2f} s" + (f" ({split})" if split else ""),
        figures.reason or "",
    ]
    return f"round {figures.round:3d} {figures.status}: {', '.join(filter(None, parts))}"


def _worst(figures: RoundFigures) -> str:
    worst = {name: spread.worst for name, spread in figures.spreads.items()}
    return f"the worst tenth {model_warnings.text_of(worst)}" if worst else ""


def _telling(figures: RoundFigures) -> Numbers:
    """What was evaluated; or else the new model's metrics, or those of the local ones."""
    if figures.evaluates:
        return dict(figures.client_metrics)
    return figures.metrics or {n: value for n, value in figures.client_metrics.items() if n.endswith("_after")}
