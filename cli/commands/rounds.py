"""Commands that let rounds run, and stop them."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cli.commands.aws import aws_clients, operations_of
from cli.commands.options import FederationName, Json, Result, Stack
from cli.plurals import counted
from cli.screen import Screen
from cloud.state.records import FederationRecord

if TYPE_CHECKING:
    from operations.control import Operations

EXAMPLES = (
    "fedgrass start digits",
    "fedgrass start digits --stack staging",
    "fedgrass pause digits",
    "fedgrass pause digits --json",
    "fedgrass resume digits",
    "fedgrass resume digits --stack staging",
    "fedgrass abort-round digits",
    'fedgrass abort-round digits --reason "a wrong learning rate"',
    "fedgrass rollback digits --to 12",
    "fedgrass rollback digits --to 0 --json",
)

_AT_ONCE = 1000


def start(federation: FederationName, stack: Stack = "fedgrass", as_json: Json = False) -> Result:
    """Let a federation's rounds begin."""
    operations, record = _let_run(federation, stack)
    screen = Screen(quiet=as_json)
    screen.line(f"federation {federation} runs: {counted(record.settings.rounds - record.round, 'round')} to go")
    return _with_lacking_clients(operations, record, screen)


def pause(federation: FederationName, stack: Stack = "fedgrass", as_json: Json = False) -> Result:
    """Let no further round open; an open one goes on to its end."""
    record = operations_of(stack).pause(federation)
    Screen(quiet=as_json).line(
        f"federation {federation} is paused: no round opens; round {record.round + 1}, if it is under way, goes on to "
        "its end"
    )
    return record


def resume(federation: FederationName, stack: Stack = "fedgrass", as_json: Json = False) -> Result:
    """Let a paused federation go on."""
    operations, record = _let_run(federation, stack)
    screen = Screen(quiet=as_json)
    screen.line(f"federation {federation} goes on with round {record.round + 1}")
    return _with_lacking_clients(operations, record, screen)


def _let_run(federation: str, stack: str) -> tuple["Operations", FederationRecord]:
    from cli import preflight

    client_of = aws_clients()
    operations = operations_of(stack, client_of)
    preflight.check(client_of, stack, operations.federations.get(federation).settings)
    return operations, operations.start(federation)


def _with_lacking_clients(operations: "Operations", record: FederationRecord, screen: Screen) -> dict[str, Any]:
    """Say how many clients the next round lacks, and what brings them; returns that with the record."""
    name, needed = record.federation, record.settings.selection.minimum
    read = operations.clients.each(name, at_once=min(needed + len(record.expelled), _AT_ONCE))
    joined = sum(1 for _ in islice((client for client in read if client.thing not in record.expelled), needed))
    if joined < needed:
        group = record.settings.thing_group
        members = "" if group is None else f", in thing group {group}"
        screen.line(
            f"round {record.round + 1} needs {counted(needed, 'client')}, and {joined or 'none'} "
            f"{'have' if joined > 1 else 'has'} joined so far: it waits for them. A device joins by running "
            f"com.fedgrass.Client with federation {name} in its configuration{members}"
        )
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields | {"lacking_clients": needed - joined}


def abort_round(
    federation: FederationName,
    reason: Annotated[str, typer.Option(help="Goes into the round's record.")] = "aborted by the operator",
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """End the round that is under way without a model.

    The next one starts from the same model.
    """
    record = operations_of(stack).abort_round(federation, reason)
    if record.status == "closed":
        told = f"round {record.round} of {federation} had closed before it could be aborted"
    else:
        told = f"round {record.round} of {federation} is aborted: {record.reason}"
    Screen(quiet=as_json).line(told)
    return record


def rollback(
    federation: FederationName,
    to: Annotated[int, typer.Option("--to", min=0, metavar="ROUND", help="0 is the initial model.")],
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Make an earlier round's model the current one. The federation has to be paused; no model is deleted."""
    record = operations_of(stack).roll_back(federation, to)
    Screen(quiet=as_json).line(f"the next round of {federation}, {record.round + 1}, starts from {record.model.key}")
    return record
