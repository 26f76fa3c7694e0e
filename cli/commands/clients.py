"""The command that lists the clients of a federation."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cli.commands.aws import operations_of
from cli.commands.options import FederationName, Json, Result, Stack
from cli.plurals import counted
from cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloud.state.records import ClientRecord

EXAMPLES = (
    "fedgrass clients digits",
    "fedgrass clients digits --sort seen --descending --limit 20",
    "fedgrass clients digits --where missed=3.. --where 'version=0.1.*'",
    "fedgrass clients digits --where seen=2d.. --json",
)


def clients(
    federation: FederationName,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only where this holds: a text with * and ?, a number, a range such as 3.., ..512M or 1h..2d, or "
            "nothing for what is not known. More than once: only where all hold.",
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Order by this column.", show_default="client")
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="With --sort: the largest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    after: Annotated[str | None, typer.Option(metavar="CLIENT", help="Go on behind this one; not with --sort.")] = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """List a federation's clients: what they are and how they do.

    `seen` is how long ago the last hello was, which a device says when its component starts. `reason` is why no update
    of it counted in the last round that it was in.

    With --sort, the records of all clients are read; else those of as many as it takes.
    """
    from cli import client_list

    if after is not None and sort is not None:
        raise typer.BadParameter("give either --after or --sort")
    if descending and sort is None:
        raise typer.BadParameter("--descending goes with --sort")
    conditions = [client_list.condition(text) for text in where or ()]
    if sort is not None:
        client_list.column_of(sort)
    operations, now = operations_of(stack), time.time()
    expelled = operations.federations.get(federation).expelled
    read = operations.clients.each(federation, after or "", None if conditions or sort else limit + 1)
    found = client_list.chosen(read, conditions, limit + 1, now, sort, descending=descending)
    listed, more = found[:limit], len(found) > limit
    screen = Screen(quiet=as_json)
    if listed:
        screen.table(client_list.table_of(listed, expelled, now))
    else:
        screen.line(f"{federation} has no {'such client' if conditions or after else 'client yet'}")
    if more:
        onwards = "" if sort else f", or go on with --after {listed[-1].thing}"
        screen.line(f"more than {counted(limit, 'client')}: raise --limit{onwards}")
    return {"federation": federation, "clients": [_told(client, expelled) for client in listed], "more": more}


def _told(client: "ClientRecord", expelled: "Collection[str]") -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(client)
    del fields["federation"], fields["expires_at"]
    return fields | {"expelled": client.thing in expelled}
