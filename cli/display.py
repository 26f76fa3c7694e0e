"""What a person sees of a demo: on a terminal a live picture, elsewhere a line for each round; tables at the end."""

from collections import Counter

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.model_warnings import lines, text_of
from cli.outcome import Outcome
from sandbox.federated_run import RoundFigures, View


class Display:
    """Shows runs, one after another, for the time of a `with` block."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._shown = 0

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, what: str) -> None:
        """One line on what is being done."""
        if self.console.is_terminal:
            self._live.update(Text(f"{what} ..."))
        else:
            self.console.print(what)

    def begin(self, what: str) -> None:
        """The heading of a run."""
        self._shown = 0
        self.console.print(what, style="bold")

    def show(self, view: View) -> None:
        """The state of the federation."""
        for figures in view.ended[self._shown :]:
            self.console.print(_line(figures))
            for line in lines(figures.not_finite, figures.warnings):
                self.console.print(f"  {line}", markup=False)
        self._shown = len(view.ended)
        if self.console.is_terminal:
            self._live.update(_picture(view))

    def report(self, outcome: Outcome) -> None:
        """The closing tables."""
        table = Table(title=f"{outcome.rounds} rounds with {outcome.devices} devices", show_header=False)
        accuracy = "not scored" if outcome.accuracy is None else f"{outcome.accuracy:.1%}"
        table.add_row("accuracy of the global model on held-out data", accuracy)
        table.add_row("a round (median)", f"{outcome.round_s:.2f} s")
        table.add_row("of which not local training", f"{outcome.overhead_s:.2f} s")
        for step, seconds in outcome.split_s.items():
            table.add_row(f"  {step}", f"{seconds:.3f} s")
        table.add_row("memory of an idle agent (median)", f"{outcome.idle_agent_mb:.0f} MB")
        table.add_row("memory of everything together", f"{outcome.memory_mb:,.0f} MB")
        table.add_row("from the command to the first round", f"{outcome.started_s:.1f} s")
        self.console.print(table)
        if outcome.chaos:
            self._report_chaos(outcome)

    def _report_chaos(self, outcome: Outcome) -> None:
        table = Table("fault", "injected", "in rounds", "survived", title="what was done to it")
        for each in outcome.chaos:
            rounds = "all" if len(each.rounds) == outcome.rounds else ", ".join(map(str, each.rounds))
            verdict = "yes" if each.survived else "\n".join(("no", *each.problems))
            table.add_row(each.fault, str(each.injected), rounds, verdict)
        self.console.print(table)
        if outcome.accuracy is not None and outcome.calm_accuracy is not None:
            self.console.print(f"accuracy {outcome.accuracy:.1%}; without faults {outcome.calm_accuracy:.1%}")


def _line(figures: RoundFigures) -> str:
    split = " ".join(f"{step} {seconds:.2f}" for step, seconds in figures.split.items())
    return (
        f"round {figures.round:3d} {figures.status}: {figures.accepted} updates, {text_of(figures.metrics)}, "
        f"{figures.round_s:.2f} s ({split})"
    )


def _picture(view: View) -> Group:
    phases = Counter(view.phases.values())
    told = "  ".join(f"{phase} {count}" for phase, count in sorted(phases.items()))
    heading = Text(f"round {view.round} of {view.rounds}: {view.state}   ", style="bold")
    heading.append(told or "devices are being told", style="not bold")
    return Group(heading, ProgressBar(total=view.rounds, completed=len(view.ended), width=60))
