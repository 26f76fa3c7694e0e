"""Commands that expel a device, and take that back."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.aws import aws_clients
from cli.commands.options import Json, Result, Stack
from cli.errors.kind import ResultError
from cli.plurals import counted
from cli.screen import Screen

if TYPE_CHECKING:
    from operations.expulsion import Expulsion
    from operations.steps import Step

EXAMPLES = (
    "fedgrass expel device-007 --dry-run",
    "fedgrass expel device-007",
    "fedgrass expel device-007 --federation digits --json",
    "fedgrass readmit device-007 --dry-run",
    "fedgrass readmit device-007",
    "fedgrass readmit device-007 --federation digits",
)

ThingName = Annotated[str, typer.Argument(help="Name of the thing in AWS IoT.")]
Bounds = Annotated[
    list[str] | None,
    typer.Option("--federation", help="From the rounds of this one only; may be repeated.", show_default="all"),
]
Rehearsal = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


class StepsRemainError(ResultError):
    """Some of an expulsion, or of a readmission, could not be done."""


def expel(
    thing: ThingName,
    federation: Bounds = None,
    rehearsal: Rehearsal = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Expel a device: from all rounds, from S3 and from AWS IoT.

    Nothing of it counts any more, in the round that is open neither; the others' rounds go on. Without --federation
    credentials that it has allow nothing from now on, its certificate is deactivated, and it is taken out of the
    federations' thing groups. Given again, it does what is not done yet. Ends with status 1 if a step remains.
    """
    expulsion = _expulsion(stack, thing, federation or (), rehearsal=rehearsal)
    return _tell_steps(thing, expulsion.expel(), Screen(quiet=as_json))


def readmit(
    thing: ThingName,
    federation: Bounds = None,
    rehearsal: Rehearsal = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Take an expulsion back, with the same --federation.

    The device takes part from the next round on. Its thing groups are named, for nobody has noted which it was in.
    """
    expulsion = _expulsion(stack, thing, federation or (), rehearsal=rehearsal)
    return _tell_steps(thing, expulsion.readmit(), Screen(quiet=as_json))


def _expulsion(stack: str, thing: str, federations: Sequence[str], *, rehearsal: bool) -> "Expulsion":
    from operations import deployment
    from operations.expulsion import Expulsion

    client_of = aws_clients()
    return Expulsion(client_of, deployment.find(client_of, stack), thing, federations, rehearsal=rehearsal)


def _tell_steps(thing: str, steps: "Iterator[Step]", screen: Screen) -> dict[str, Any]:
    """Tell each step when it is taken.

    Raises:
        StepsRemainError: see there.
    """
    taken = []
    for step in steps:
        taken.append(step)
        screen.line(f"{step.outcome}: {step.what}" + (f": {step.note}" if step.note else ""))
    result = {"thing": thing, "steps": taken}
    if remaining := sum(step.outcome == "remains" for step in taken):
        raise StepsRemainError(f"{counted(remaining, 'step')} of {len(taken)} could not be taken", result)
    return result
