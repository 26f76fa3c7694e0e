"""Commands that let rounds run, and stop them."""

from typing import Annotated

import typer

from cli import preflight
from cli.commands.aws import client_of, operations_of
from cli.commands.options import FederationName, Stack
from cli.plurals import counted
from cli.screen import Screen


def start(federation: FederationName, stack: Stack = "fedgrass") -> None:
    """Let a federation's rounds begin."""
    operations = operations_of(stack)
    preflight.check(client_of, stack, operations.federations.get(federation).settings)
    record = operations.start(federation)
    Screen().line(f"federation {federation} runs: {counted(record.settings.rounds - record.round, 'round')} to go")


def pause(federation: FederationName, stack: Stack = "fedgrass") -> None:
    """Let no further round open; an open one goes on to its end."""
    record = operations_of(stack).pause(federation)
    Screen().line(
        f"federation {federation} is paused: no round after {record.round + 1} opens, and that only if it has"
    )


def resume(federation: FederationName, stack: Stack = "fedgrass") -> None:
    """Let a paused federation go on."""
    operations = operations_of(stack)
    preflight.check(client_of, stack, operations.federations.get(federation).settings)
    record = operations.start(federation)
    Screen().line(f"federation {federation} goes on with round {record.round + 1}")


def abort_round(
    federation: FederationName,
    reason: Annotated[str, typer.Option(help="Goes into the round's record.")] = "aborted by the operator",
    stack: Stack = "fedgrass",
) -> None:
    """End the round that is under way without a model.

    The next one starts from the same model.
    """
    record = operations_of(stack).abort_round(federation, reason)
    if record.status == "closed":
        Screen().line(f"round {record.round} of {federation} had closed before it could be aborted")
    else:
        Screen().line(f"round {record.round} of {federation} is aborted: {record.reason}")


def rollback(
    federation: FederationName,
    to: Annotated[int, typer.Option("--to", min=0, metavar="ROUND", help="0 is the initial model.")],
    stack: Stack = "fedgrass",
) -> None:
    """Make an earlier round's model the current one. The federation has to be paused; no model is deleted."""
    record = operations_of(stack).roll_back(federation, to)
    Screen().line(f"the next round of {federation}, {record.round + 1}, starts from {record.model.key}")
