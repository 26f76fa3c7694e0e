"""What a person sees of a demo: on a terminal a live picture, elsewhere a line for each round; tables at the end."""

from collections import Counter

from rich.progress_bar import ProgressBar

from cli import demo_failures, model_warnings
from cli.outcome import Outcome
from cli.plurals import counted
from cli.screen import Screen
from cli.table import Table
from sandbox.federated_run import View
from sandbox.round_figures import RoundFigures


class Display:
    """Shows runs, one after another, for the time of a `with` block."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._shown = 0

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
            self.screen.line(_line(figures))
            warned = model_warnings.lines(figures.not_finite, figures.warnings)
            for line in (*warned, *demo_failures.lines(figures.failing)):
                self.screen.line(f"  {line}")
        self._shown = len(view.ended)
        if self.screen.is_terminal:
            phases = Counter(view.phases.values())
            told = "  ".join(f"{phase} {count}" for phase, count in sorted(phases.items()))
            self.screen.picture(
                f"round {view.round} of {view.rounds}: {view.state}   {told or 'devices are being told'}",
                ProgressBar(total=view.rounds, completed=len(view.ended), width=60),
            )

    def report(self, outcome: Outcome) -> None:
        """The closing tables."""
        accuracy = "not scored" if outcome.accuracy is None else f"{outcome.accuracy:.1%}"
        rows = [
            ("accuracy of the global model on held-out data", accuracy),
            ("a round (median)", f"{outcome.round_s:.2f} s"),
            ("of which not local training", f"{outcome.overhead_s:.2f} s"),
            *((f"  {step}", f"{seconds:.3f} s") for step, seconds in outcome.split_s.items() if seconds),
            ("memory of an idle agent (median)", f"{outcome.idle_agent_mb:.0f} MB"),
            ("memory of everything together", f"{outcome.memory_mb:,.0f} MB"),
            ("from the command to the first round", f"{outcome.started_s:.1f} s"),
        ]
        title = f"{counted(outcome.rounds, 'round')} with {counted(outcome.devices, 'device')}"
        self.screen.table(Table(title=title, columns=("", ""), rows=rows))
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
        f"{figures.accepted} of {figures.asked} updates",
        model_warnings.text_of(figures.metrics),
        f"{figures.round_s:.2f} s" + (f" ({split})" if split else ""),
        figures.reason or "",
    ]
    return f"round {figures.round:3d} {figures.status}: {', '.join(filter(None, parts))}"
