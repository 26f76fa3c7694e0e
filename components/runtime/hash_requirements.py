"""Writes the SHA-256 of every wheel that a device may be given into requirements.txt, and of those that the functions
may be given into cloud/requirements.txt, in place of those there:

    python -m components.runtime.hash_requirements [INDEX_URL]

Run it after one of them was changed, from a network and an index that you trust: what is installed has one of these
hashes.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

LISTS = (Path(__file__).with_name("requirements.txt"), Path(__file__).parents[2] / "cloud" / "requirements.txt")
INDEX_URL = "https://pypi.org/simple"

MACHINES = ("x86_64", "aarch64")
PYTHONS = tuple(f"3.{minor}" for minor in range(11, 15))

_INTERPRETER = re.compile(r"(?:cp|py)3(\d*)")
_OF_A_MACHINE = re.compile(rf"(?:many)?linux\w*_({'|'.join(MACHINES)})")


class NoWheelError(LookupError):
    """The index has no wheel of a requirement for a machine that needs it."""


def requirements_of(text: str) -> list[Requirement]:
    """What a list asks for, without its hashes."""
    joined = text.replace("\\\n", " ")
    lines = (re.sub(r"--hash=\S+", "", line).strip() for line in joined.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def hashed(requirement: Requirement, files: list[dict[str, Any]]) -> str:
    """A line of the list: a requirement with the hashes of its wheels, of all files that an index has of the project.

    Raises:
        NoWheelError: there is none for a machine that needs it.
    """
    machines = [machine for machine in MACHINES if needs(requirement.marker, machine)]
    found = {
        machine: {file["hashes"]["sha256"] for file in files if fits(requirement, file["filename"], machine)}
        for machine in machines
    }
    for machine, wheels in found.items():
        if not wheels:
            raise NoWheelError(f"the index has no wheel of {requirement} for {machine}")
    hashes = sorted(set().union(*found.values()))
    marker = f" ; {requirement.marker}".replace('"', "'") if requirement.marker else ""
    return " \\\n".join(
        [f"{requirement.name}{requirement.specifier}{marker}", *(f"    --hash=sha256:{h}" for h in hashes)]
    )


def needs(marker: Marker | None, machine: str) -> bool:
    """Whether a device with such a processor installs what has this marker, with one Python or another."""
    about = {"platform_machine": machine, "sys_platform": "linux"}
    return marker is None or any(
        marker.evaluate(about | {"python_version": python, "python_full_version": f"{python}.0"}) for python in PYTHONS
    )


def fits(requirement: Requirement, file: str, machine: str) -> bool:
    """Whether a file is a wheel of this requirement that such a device may be given."""
    if not file.endswith(".whl"):
        return False
    _, version, _, tags = parse_wheel_filename(file)
    if not requirement.specifier.contains(version, prereleases=True):
        return False
    return any(_is_for(tag.platform, machine) and _runs_in(tag.interpreter, tag.abi) for tag in tags)


def _is_for(platform: str, machine: str) -> bool:
    match = _OF_A_MACHINE.fullmatch(platform)
    return platform == "any" or (match is not None and match[1] == machine)


def _runs_in(interpreter: str, abi: str) -> bool:
    match = _INTERPRETER.fullmatch(interpreter)
    if match is None:
        return False
    return abi in ("none", "abi3") or (f"3.{match[1]}" in PYTHONS and abi == interpreter)


def _files_of(index_url: str, project: str) -> list[dict[str, Any]]:
    """What the index has, by the simple API's JSON (PEP 691)."""
    request = urllib.request.Request(  # noqa: S310
        f"{index_url.rstrip('/')}/{canonicalize_name(project)}/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        files: list[dict[str, Any]] = json.load(answer)["files"]
    return files


def _lines(text: str, index_url: str) -> Iterator[str]:
    yield from (line for line in text.splitlines() if line.startswith("#"))
    for requirement in requirements_of(text):
        yield hashed(requirement, _files_of(index_url, requirement.name))


def main() -> None:
    """The command line."""
    index_url = sys.argv[1] if len(sys.argv) > 1 else INDEX_URL
    for path in LISTS:
        path.write_text("\n".join(_lines(path.read_text(), index_url)) + "\n")


if __name__ == "__main__":
    main()
