"""The command that shows what every round measured."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Json, Result, StackIfGiven
from cli.screen import Screen, write_csv

EXAMPLES = (
    "fedgrass history runs/june",
    "fedgrass history meadow --metric accuracy",
    "fedgrass history meadow --stack staging --csv",
)


def history(
    run: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR",
            help="A federation, or a run folder. What is both is the folder; with --stack, the federation.",
        ),
    ],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Only this one; more than once for more.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a CSV table.")] = False,
    stack: StackIfGiven = None,
    as_json: Json = False,
) -> Result:
    """Show every round's metrics.

    They are those of the clients together, before and after their training, and those on held-out data.

    On a terminal, with a curve of each.
    """
    if as_csv and as_json:
        raise typer.BadParameter("give either --csv or --json")
    from cli import course
    from cli import history as shown

    if stack is None and shown.is_folder(run):
        from reporting.run_folder import RunFolder

        folder = RunFolder(Path(run))
        name, rows = folder.summary.federation, list(shown.rows_of_lines(folder.rounds()))
        best, spent_usd, stopped = folder.summary.best, folder.summary.spent_usd, folder.summary.stopped
    else:
        from cli.commands.aws import operations_of

        with shown.taken_for_a_federation(run, stack):
            operations = operations_of(stack or "fedgrass")
            record = operations.federations.get(run)
        results = operations.rounds.results(record.federation, record.life)
        name, rows = record.federation, list(shown.rows_of_results(record, results))
        best, spent_usd, stopped = record.best, record.spent_usd, record.ended_by_rule
    chosen = shown.chosen(rows, metrics or ())
    if as_csv:
        write_csv(shown.csv_rows(rows, chosen))
    else:
        screen = Screen(quiet=as_json)
        shown.show(screen, rows, chosen, has_worst=bool(metrics))
        for line in course.lines(best, spent_usd, stopped):
            screen.line(line)
    told = [shown.narrowed(row, chosen) for row in rows]
    return {"federation": name, "best": best, "spent_usd": spent_usd, "rounds": told}
