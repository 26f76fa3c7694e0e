"""The command that shows what the functions have logged of a federation."""

import datetime
import time
from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.aws import aws_clients, operations_of
from cli.commands.options import FederationName, Json, Result, Stack
from cli.screen import Screen

if TYPE_CHECKING:
    from operations.function_logs import LogLine

EXAMPLES = (
    "fedgrass logs digits",
    "fedgrass logs digits --round 12",
    "fedgrass logs digits --thing device-007 --hours 72 --json",
)

_HOURS = 24.0
_SHOWN = 1000


def logs(
    federation: FederationName,
    thing: Annotated[str | None, typer.Option(help="Only lines on this thing.")] = None,
    round_number: Annotated[
        int | None, typer.Option("--round", min=1, metavar="ROUND", help="Only lines on this round.")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0, max=87_600, help="Only lines of so many hours.", show_default="24, or since the round opened"
        ),
    ] = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Show what the functions have logged of a federation.

    The last 1,000 lines of the initiator and the averager, by their times, as far as they are about the federation.
    """
    from operations.function_logs import lines_of
    from protocol import names

    client_of = aws_clients()
    operations = operations_of(stack, client_of)
    record = operations.federations.get(federation)
    since = time.time() - 3600 * (_HOURS if hours is None else hours)
    if round_number is not None:
        opened_at = operations.rounds.of(federation, record.life, round_number).opened_at
        since = opened_at if hours is None else max(since, opened_at)
    if thing is not None:
        names.check_thing(thing)
    found = lines_of(client_of("logs"), stack, federation, since, thing=thing, round_number=round_number)
    lines: deque[LogLine] = deque(maxlen=_SHOWN)
    read = 0
    for line in found:
        read += 1
        lines.append(line)
    screen = Screen(quiet=as_json)
    for line in lines:
        at = datetime.datetime.fromtimestamp(line.at, datetime.UTC)
        about = {"round": line.round, "thing": line.thing}
        places = "".join(f"{name}={value} " for name, value in about.items() if value is not None)
        first, *others = f"{line.text}\n{line.trace or ''}".rstrip().split("\n")
        screen.line(f"{at:%F %T} {line.function} {line.level} {places}{first}")
        for other in others:
            screen.line(f"  {other}")
    if not read:
        Screen(stderr=as_json).line(_why_none(federation, thing))
    elif read > _SHOWN:
        screen.line(f"{read - _SHOWN:,} lines before these: narrow them down by --round, --thing or --hours")
    return {"federation": federation, "lines": list(lines), "left_out": read - len(lines)}


def _why_none(federation: str, thing: str | None) -> str:
    further = "look further back by --hours, as far as the stack keeps its logs"
    if thing is None:
        return f"no such line: {further}"
    return f"no such line on {thing}: look for its name in `fedgrass clients {federation}`, or {further}"
