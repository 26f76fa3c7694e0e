"""The command that has a federation forget a client."""

from typing import Annotated

import typer

from cli.commands.aws import aws_clients, operations_of
from cli.commands.options import FederationName, Json, Result, Stack
from cli.screen import Screen

EXAMPLES = (
    "fedgrass forget digits device-007",
    "fedgrass forget digits device-007 --stack staging --json",
)


def forget(
    federation: FederationName,
    thing: Annotated[str, typer.Argument(help="Name of the client's thing in AWS IoT.")],
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Have a federation forget a client.

    Its record, with its turnaround and missed rounds, and its shadow are removed; not while a round waits for it. A
    device that still runs comes back by its next hello, when its component starts or its number of examples changes:
    fedgrass expel keeps one out.
    """
    from operations.forgetting import forget as forget_client

    client_of = aws_clients()
    forgotten = forget_client(operations_of(stack, client_of), client_of("iot-data"), federation, thing)
    screen = Screen(quiet=as_json)
    for what, was_there in (("record", forgotten.had_record), ("shadow", forgotten.had_shadow)):
        screen.line(f"the {what} of {thing} in {federation} {'is removed' if was_there else 'was not there'}")
    return forgotten
