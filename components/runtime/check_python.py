"""Says what the environment whose Python runs it lacks for com.fedgrass.Client and its task, and ends with 1 then:

    check_python.py REQUIREMENTS

That of an operator has to have what the client imports and what the task asks for, but may have other versions.
"""

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Sequence
from pathlib import Path

IMPORTED = {
    "awscrt": "awscrt",
    "awsiot": "awsiotsdk",
    "boto3": "boto3",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "torch": "torch",
}
"""What the client imports: module -> package."""

OF_THE_TASK = "# of the task\n"
"""What comes behind this in the list is the task's."""

_PINNED = re.compile(r"^([a-zA-Z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def lacking(requirements: str) -> list[str]:
    """What is missing, or cannot be imported, each with why."""
    found = []
    for module, package in IMPORTED.items():
        try:
            importlib.import_module(module)
        except (ImportError, OSError, RuntimeError) as error:
            found.append(f"{package} ({error})")
    of_task = _PINNED.findall(requirements.partition(OF_THE_TASK)[2])
    return found + [f"{name} ({version} is asked for)" for name, version in of_task if _version(name) is None]


def differing(requirements: str) -> list[str]:
    """Which versions are not those that fedgrass installs."""
    pinned: dict[str, list[str]] = {}
    for name, version in _PINNED.findall(requirements):
        pinned.setdefault(name, []).append(version)
    here = {name: _version(name) for name in pinned}
    return [
        f"{name} {here[name]} (not {' or '.join(versions)})"
        for name, versions in pinned.items()
        if here[name] not in (None, *versions)
    ]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    (path,) = arguments
    requirements = Path(path).read_text(encoding="utf-8")
    found = lacking(requirements)
    if found:
        sys.stderr.write(
            f"{sys.executable}, python of the configuration, lacks {', '.join(found)}: install it there, in the "
            f"versions of {Path(path).name}, or leave python empty\n"
        )
        return 1
    others = differing(requirements)
    sys.stdout.write(f"{sys.executable} is used{' with ' if others else ''}{', '.join(others)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
