"""The command that tries a federation's folder out, before anything is started."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.options import Json, ProjectPath, Result
from cli.screen import Screen

if TYPE_CHECKING:
    from cli.checking.checks import Checked
    from cli.checking.findings import Finding
    from cli.project import Project

EXAMPLES = (
    "fedgrass check my-federation",
    "fedgrass check my-federation --data shards",
    "fedgrass check my-federation/federation.yaml --data shards --json",
)

_STYLES = {"error": "bold red", "warning": "bold yellow"}


def check(
    project: ProjectPath,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="A folder with one folder a client, or data to split. Default: the project's data/."
        ),
    ] = None,
    as_json: Json = False,
) -> Result:
    """Try a federation's folder out in some seconds, without AWS.

    It is federation.yaml, policies.py, task.py with the data of one client and as many others as there is time for, a
    step of training, and the model's way to bytes and back. What is wrong is told with its line and a remedy, all at
    once; it fails if there are errors, warnings are none.
    """
    from cli.checking.checks import CheckFailedError, check_project
    from cli.checking.clients import clients_of
    from cli.checking.report import counts, summary

    begun = time.monotonic()
    screen, progress = Screen(quiet=as_json), Screen(stderr=True, quiet=as_json)
    checked = check_project(
        project,
        lambda read, scratch: clients_of(read, data, scratch),
        lambda finding: _show(screen, finding),
        lambda step: _tell(progress, step),
    )
    for line in summary(checked):
        screen.line(line)
    if checked.errors:
        raise CheckFailedError(checked, counts(checked))
    screen.line(f"{counts(checked)}, in {time.monotonic() - begun:.1f} s")
    return checked.told()


def tried_out(project: "Project", *, as_json: bool) -> "Checked":
    """What a check says of a project before a command goes on with it; warnings are shown.

    Raises:
        CheckFailedError: there are errors.
    """
    from cli.checking.checks import check_loaded
    from cli.checking.clients import clients_of

    screen = Screen(stderr=True, quiet=as_json)
    checked = check_loaded(
        project, lambda scratch: clients_of(project, None, scratch), lambda step: _tell(screen, step)
    )
    for finding in checked.findings:
        _show(screen, finding)
    return checked


def _show(screen: Screen, finding: "Finding") -> None:
    from cli.checking.findings import lines_of

    for number, line in enumerate(lines_of(finding)):
        screen.line(line, "" if number else _STYLES[finding.severity])


def _tell(screen: Screen, step: str) -> None:
    from cli.checking.process import HANGING

    if screen.is_terminal or HANGING in step:
        screen.line(step, "dim")
