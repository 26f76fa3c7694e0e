"""The command that compares settings by simulations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.options import Json, Result

if TYPE_CHECKING:
    from cli.experiments.experiment import Rehearsal
    from cli.screen import Screen

EXAMPLES = (
    "fedgrass experiment rates.yaml",
    "fedgrass experiment rates.yaml --dry-run",
    "fedgrass experiment rates.yaml --data people.csv",
    "fedgrass experiment rates.yaml --jobs 4 --json",
)


def experiment(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="What to compare: docs/experiments.md.")],
    data: Annotated[Path | None, typer.Option("--data", help="Data in the place of the file's own.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="How many runs at a time; default: one a core.")
    ] = None,
    rehearsal: Annotated[bool, typer.Option("--dry-run", help="List the runs, and guess how long they take.")] = False,
    as_json: Json = False,
) -> Result:
    """Compare settings by simulations, in a table and in plots.

    Each combination of settings is simulated with each seed. What is done is not run again: the same command goes on
    after an interruption, or with more combinations.
    """
    from cli.experiments.experiment import experiment as run
    from cli.experiments.experiment import rehearse
    from cli.screen import Screen

    screen = Screen(stderr=as_json)
    if not rehearsal:
        return run(file, data, jobs, screen)
    found = rehearse(file, data, jobs)
    _show(screen, found)
    return found


def _show(screen: "Screen", found: "Rehearsal") -> None:
    from cli.experiments.progress import duration
    from cli.plurals import counted
    from cli.table import Table

    rows = [(run.name, run.state, run.run) for run in found.runs]
    screen.table(Table(columns=("run", "state", "folder"), rows=rows, texts=frozenset({"state", "folder"})))
    screen.line(
        f"{counted(found.to_do, 'run')} to do, {found.jobs} at a time: about {duration(found.guess_s)}, as a guess"
    )
