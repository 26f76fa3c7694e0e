"""Commands that show how far federations and their rounds are."""

from typing import Annotated, Any

import msgspec
import typer

from cli import course, model_warnings
from cli.commands.aws import operations_of
from cli.commands.options import FederationIfGiven, FederationName, Json, Result, Stack
from cli.screen import Screen
from cli.table import Table
from cli.timeline import show_timeline
from cloud.state.records import FederationRecord, RoundRecord

EXAMPLES = (
    "fedgrass status",
    "fedgrass status digits --stack staging",
    "fedgrass status digits --json",
    "fedgrass timeline digits 12",
    "fedgrass timeline digits 12 --json",
)


def status(
    federation: FederationIfGiven = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Show federations: how far they are, and their models."""
    operations = operations_of(stack)
    records = [operations.federations.get(federation)] if federation else operations.federations.all()
    made_by = {record.federation: operations.made_by(record) for record in records}
    rows = [
        (
            record.federation,
            record.status,
            str(record.round),
            str(record.settings.rounds),
            str(sum(client.thing not in record.expelled for client in operations.clients.of(record.federation))),
            record.model.key,
        )
        for record in records
    ]
    columns = ("federation", "status", "round", "of", "clients", "model")
    screen = Screen(quiet=as_json)
    screen.table(Table(columns=columns, rows=rows, texts=frozenset({"status", "model"})))
    for record in records:
        if record.expelled:
            screen.line(f"{record.federation}: expelled: {', '.join(record.expelled)}")
    for name, made in made_by.items():
        for line in model_warnings.lines(made.not_finite, made.warnings) if made else ():
            screen.line(f"{name}: {line}")
    for record in records:
        for line in course.lines(record.best, record.spent_usd, record.ended_by_rule):
            screen.line(f"{record.federation}: {line}")
    return {"federations": [_with_warnings(record, made_by[record.federation]) for record in records]}


def _with_warnings(record: FederationRecord, made: RoundRecord | None) -> dict[str, Any]:
    """A federation's record, and what is wrong with its current model."""
    found = {"not_finite": made.not_finite, "warnings": made.warnings} if made else {"not_finite": {}, "warnings": ()}
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields | found


def timeline(
    federation: FederationName,
    round_number: Annotated[int, typer.Argument(metavar="ROUND", help="Number of the round.")],
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Show what happened when in a round, for each client."""
    operations = operations_of(stack)
    record = operations.rounds.get(federation, round_number)
    responses = operations.rounds.responses(federation, round_number)
    show_timeline(Screen(quiet=as_json), record, responses)
    return {"round": record, "answers": responses}
