"""The command that makes a page of a run."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Json, Result, StackIfGiven

EXAMPLES = (
    "fedgrass report runs/june",
    "fedgrass report meadow",
    "fedgrass report meadow --stack staging --json",
)


def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR",
            help="A federation, or a run folder. What is both is the folder; with --stack, the federation.",
        ),
    ],
    stack: StackIfGiven = None,
    as_json: Json = False,
) -> Result:
    """Make a page of a run: curves, devices, costs, failures.

    It is one file, DIR/report.html, that needs no network: to be looked at, printed, or passed on. A federation is
    fetched first, into runs/NAME.
    """
    from cli.fetching import RUNS, fetch
    from cli.history import is_folder, taken_for_a_federation
    from cli.run_report import write_report
    from cli.screen import Screen

    screen = Screen(stderr=as_json)
    if stack is None and is_folder(run):
        folder = Path(run)
    else:
        folder = RUNS / run
        with taken_for_a_federation(run, stack):
            fetch(run, folder, stack or "fedgrass", screen)
    written = write_report(folder)
    screen.line(written.path)
    return written
