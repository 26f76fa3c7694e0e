"""Wheelhouses, as `fedgrass wheelhouse` makes them, on their way into com.fedgrass.Runtime: one for each processor.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from components.task_folder import BuildError
from components.task_requirements import FILE_NAME, with_those_of

if TYPE_CHECKING:
    from pathlib import Path

_OF_A_MACHINE = re.compile(r"linux\w*_(aarch64|x86_64)\b")
_ARCHITECTURES = {"aarch64": "aarch64", "amd64": "x86_64"}
"""As recipes call them -> as devices do."""


class WheelhouseFolderError(BuildError):
    """A folder is no wheelhouse for this component; the text says why."""


def artifacts(folders: list[Path], task: Path | None) -> dict[str, dict[str, Path]]:
    """What is packed of wheelhouses: the artifact's name -> the files in it, by their names.

    Raises:
        WheelhouseFolderError: one is no wheelhouse, was made of another list than the component has with this task, or
            is for a processor that another one is for.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in folders:
        wheels = sorted(folder.glob("*.whl"))
        machines = {machine for wheel in wheels for machine in _OF_A_MACHINE.findall(wheel.name)}
        if len(machines) != 1 or not (folder / FILE_NAME).is_file():
            raise WheelhouseFolderError(f"{folder} is no wheelhouse: make one by fedgrass wheelhouse")
        name = f"wheelhouse-{machines.pop()}.zip"
        if name in found:
            raise WheelhouseFolderError(f"{folder} is the second one for {name}: name one for each processor")
        if (folder / FILE_NAME).read_text(encoding="utf-8") != with_those_of(task):
            raise WheelhouseFolderError(
                f"{folder} was made of another list than this component has: make it anew by fedgrass wheelhouse, with "
                "the same --task as this build"
            )
        found[name] = {wheel.name: wheel for wheel in wheels}
    return found


def is_for(artifact: str, architecture: str) -> bool:
    """Whether devices of this kind get an artifact; one that is no wheelhouse is for all."""
    return artifact == f"wheelhouse-{_ARCHITECTURES.get(architecture)}.zip" or not artifact.startswith("wheelhouse-")
