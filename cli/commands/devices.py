"""Commands that expel a device, and take that back."""

from collections.abc import Iterator
from typing import Annotated

import typer

from cli.commands.aws import client_of
from cli.commands.options import Json, Stack
from cli.screen import Screen, write_json
from operations import deployment
from operations.expulsion import Expulsion
from operations.steps import Step

ThingName = Annotated[str, typer.Argument(help="Name of the thing in AWS IoT.")]
Bounds = Annotated[
    list[str] | None,
    typer.Option("--federation", help="From the rounds of this one only; may be repeated.", show_default="all"),
]
Rehearsal = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def expel(
    thing: ThingName,
    federation: Bounds = None,
    rehearsal: Rehearsal = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> None:
    """Expel a device: from all rounds, from S3 and from AWS IoT.

    Nothing of it counts any more, in the round that is open neither; the others' rounds go on. Without --federation
    credentials that it has allow nothing from now on, its certificate is deactivated, and it is taken out of the
    federations' thing groups. Given again, it does what is not done yet. Ends with status 1 if a step remains.
    """
    expulsion = Expulsion(client_of, deployment.find(client_of, stack), thing, federation or (), rehearsal=rehearsal)
    _tell_steps(thing, expulsion.expel(), as_json=as_json)


def readmit(
    thing: ThingName,
    federation: Bounds = None,
    rehearsal: Rehearsal = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> None:
    """Take an expulsion back, with the same --federation.

    The device takes part from the next round on. Its thing groups are named, for nobody has noted which it was in.
    """
    expulsion = Expulsion(client_of, deployment.find(client_of, stack), thing, federation or (), rehearsal=rehearsal)
    _tell_steps(thing, expulsion.readmit(), as_json=as_json)


def _tell_steps(thing: str, steps: Iterator[Step], *, as_json: bool) -> None:
    """Tell each step when it is taken; ends with status 1 if one remains."""
    taken = []
    for step in steps:
        taken.append(step)
        if not as_json:
            Screen().line(f"{step.outcome}: {step.what}" + (f": {step.note}" if step.note else ""))
    if as_json:
        write_json({"thing": thing, "steps": taken})
    if any(step.outcome == "remains" for step in taken):
        raise typer.Exit(1)
