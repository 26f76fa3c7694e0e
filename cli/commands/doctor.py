"""The command that looks for what is wrong."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.aws import aws_clients
from cli.commands.options import Json, Result, Stack, check_group_name
from cli.errors.kind import ResultError
from cli.plurals import counted
from cli.screen import Screen

if TYPE_CHECKING:
    from operations.doctoring.finding import Finding

EXAMPLES = (
    "fedgrass doctor",
    "fedgrass doctor --thing pi-7",
    "fedgrass doctor --thing-group digit-readers --json",
)


class SomethingWrongError(ResultError):
    """Something is not as it has to be."""


def doctor(
    thing: Annotated[str | None, typer.Option(help="Look at this device as well.")] = None,
    thing_group: Annotated[
        str | None,
        typer.Option(help="Look at this thing group as well, and at 100 of its devices.", callback=check_group_name),
    ] = None,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Say what is wrong in an account, and what mends it.

    Looks at the way to AWS, the stack and its functions, the policies and roles of devices, the federations; and at the
    device, or thing group, that is named. One line for each: ok, wrong with the command that mends it, or not checked
    and why. Nothing is changed. If something is wrong, it ends with 1.
    """
    from operations.doctoring.case import Case
    from operations.doctoring.examination import examine
    from protocol import names

    if thing is not None and thing_group is not None:
        raise typer.BadParameter("give either --thing or --thing-group")
    if thing is not None:
        names.check_thing(thing)
    screen = Screen(quiet=as_json)
    found = []
    for finding in examine(Case(aws_clients(), stack, time.time()), thing, thing_group):
        found.append(finding)
        _tell(finding, screen)
    states = Counter(finding.state for finding in found)
    result = {"stack": stack, "thing": thing, "thing_group": thing_group, "findings": found}
    if states["wrong"]:
        raise SomethingWrongError(f"{counted(states['wrong'], 'check')} of {len(found)} found something wrong", result)
    unknown = f", {states['not checked']} not checked" if states["not checked"] else ""
    screen.line(f"nothing wrong in {counted(len(found), 'check')}{unknown}")
    return result


def _tell(finding: "Finding", screen: Screen) -> None:
    style = {"ok": "green", "wrong": "bold red", "not checked": "yellow"}[finding.state]
    text = f"{finding.state}: {finding.about}: {finding.check.replace('_', ' ')}: {' '.join(finding.text.split())}"
    screen.line(text, style)
    if finding.remedy:
        screen.line(f"    {finding.remedy}")
