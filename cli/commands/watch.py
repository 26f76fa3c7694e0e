"""The command that shows a federation while it goes on."""

from typing import Annotated

import typer

from cli.commands.aws import federation_in, operations_of
from cli.commands.options import Json, Result, Stack

EXAMPLES = (
    "fedgrass watch",
    "fedgrass watch digits",
    "fedgrass watch digits --stack staging",
    "fedgrass watch digits --json",
)


def watch(
    federation: Annotated[
        str | None, typer.Argument(help="Name of a federation; default: the only one that there is.")
    ] = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Show a federation live: rounds, devices, curves, failures.

    It begins with the last round that has ended, and ends when the federation is over, when the run or sandbox on this
    machine that it is in has ended, or by Ctrl-C, which does nothing to the federation. On a terminal there is a
    picture below the rounds: what each device is at, curves of metrics, what the time of the last round went to,
    failures with reasons, dollars so far. Elsewhere there is a line for each round that ends; with --json a line of
    JSON, before the one with which every command ends.
    """
    from cli.display import Display
    from cli.gone_sandbox import ENDED
    from cli.screen import Screen, write_json
    from cli.watching import GONE
    from cli.watching import watch as run
    from reporting.round_figures import RoundFigures
    from reporting.watching import Watcher

    operations = operations_of(stack)
    record = federation_in(operations, federation)
    screen = Screen(quiet=as_json)
    display = Display(screen)

    def tell(figures: RoundFigures) -> None:
        if as_json:
            write_json({"v": 1, "federation": record.federation, "round": figures})

    shadows = None
    if screen.is_terminal and not as_json:
        shadows = operations.progress_of
    watcher = Watcher(record.federation, operations.federations, operations.rounds_reader, shadows)
    try:
        seen = run(watcher, display, tell)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {record.federation} goes on") from None
    display.leave(seen)
    if seen.state == GONE:
        screen.line(f"{record.federation} is gone: {ENDED}; last seen: round {seen.round:,} of {seen.rounds:,}")
    else:
        screen.line(f"{record.federation} is over, after {seen.round:,} of {seen.rounds:,} rounds")
    return {"federation": record.federation, "round": seen.round, "rounds": seen.rounds, "status": seen.state}
