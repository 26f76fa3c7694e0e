"""The command that serves a page of a federation."""

from typing import Annotated

import typer

from cli.commands.aws import federation_in, operations_of
from cli.commands.options import Json, Result, Stack

EXAMPLES = (
    "fedgrass dashboard",
    "fedgrass dashboard digits --port 8700",
    "fedgrass dashboard digits --stack staging",
)


def dashboard(
    federation: Annotated[
        str | None, typer.Argument(help="Name of a federation; default: the only one that there is.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: a free one.")] = 0,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Serve a page of a federation to your browser, live.

    It has what a report has, and the present round: its devices by state, and a table of all devices, to be searched
    and sorted. The page is for this machine alone, asks nothing of any other, and ends with Ctrl-C, which does nothing
    to the federation.
    """
    from cli.dashboard.drawing import Drawing
    from cli.dashboard.server import serve
    from cli.planning.region import priced_region
    from cli.run_costs import price_in
    from cli.screen import Screen
    from reporting.watching import Tell, Watcher

    operations = operations_of(stack)
    record = federation_in(operations, federation)

    def watcher(add: Tell, rounds: int) -> Watcher:
        return Watcher(
            record.federation,
            operations.federations,
            operations.rounds_reader,
            operations.progress_of,
            rounds=rounds,
            tell=add,
        )

    screen = Screen(stderr=as_json)

    def tell(address: str) -> None:
        screen.line(f"{address} shows {record.federation}; Ctrl-C ends it")

    screen.line(f"reading the rounds of {record.federation}")
    drawing = Drawing(watcher, price_in(operations.models, record), priced_region())
    try:
        serve(record.federation, drawing, port, tell)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {record.federation} goes on") from None
    return {"federation": record.federation}
