"""What is looked at before anything of a sandbox is started."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cli import memory_need
from cli.checking.checks import check_loaded
from cli.client_data import ClientData
from cli.project import Project, ProjectError
from cli.project_sandbox import Teller
from cli.settings.contradictions import fleet_contradictions
from cli.settings.problems import told


class TriedOut(NamedTuple):
    """The clients' data, and the model that the federation starts with."""

    data: ClientData
    model: bytes


def tried_out(project: Project, data: Callable[[Path], ClientData], scratch: Path, teller: Teller) -> TriedOut:
    """What a sandbox is to have, after a check of the project with it has found no errors. `data` makes the clients'
    data in a folder of `scratch`.

    Raises:
        ProjectError: the settings ask for more devices than there are.
        NotEnoughMemoryError: there are more devices than this machine can have.
        CheckFailedError: there are errors; the text has all of them.
    """
    teller.step("looking at the data")
    found = data(scratch / "shards")
    if problems := list(fleet_contradictions(project.settings, len(found.folders))):
        raise ProjectError(f"{project.path}: {told(problems)}")
    if warning := memory_need.warning(len(found.folders), memory_need.memory()):
        teller.line(f"warning: {warning}")
    teller.step("trying task.py out on the data of the devices")
    checked = check_loaded(project, lambda _: found.folders)
    for line in checked.lines():
        teller.line(line)
    return TriedOut(found, checked.model)
