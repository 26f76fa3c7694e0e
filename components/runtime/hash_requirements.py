"""Writes the SHA-256 of every wheel that a device may be given into requirements.txt and requirements-cuda.txt, and of
those that the functions may be given into cloud/requirements.txt, in place of those there; or those of the wheels of
other lists, such as the requirements.txt of a task:

    python -m components.runtime.hash_requirements [--index-url URL] [--torch-index-url URL] [LIST ...]

Run it after one of them was changed, from a network and indexes that you trust: what is installed has one of these
hashes.
"""

import argparse
import importlib.metadata
import json
import re
import sys
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

LISTS = (
    Path(__file__).with_name("requirements.txt"),
    Path(__file__).with_name("requirements-cuda.txt"),
    Path(__file__).parents[2] / "cloud" / "requirements.txt",
)
INDEX_URL = "https://pypi.org/simple"
TORCH_INDEX_URL = "https://download.pytorch.org/whl/cpu"

MACHINES = ("x86_64", "aarch64")
PYTHONS = tuple(f"3.{minor}" for minor in range(11, 15))

_INTERPRETER = re.compile(r"(?:cp|py)3(\d*)")
_OF_A_MACHINE = re.compile(rf"(?:many)?linux\w*_({'|'.join(MACHINES)})")


class NoWheelError(LookupError):
    """The index has no wheel of a requirement for a machine that needs it."""


class IncompleteListError(Exception):
    """A list lacks what its packages pull in."""


def requirements_of(text: str) -> list[Requirement]:
    """What a list asks for, without its hashes."""
    joined = text.replace("\\\n", " ")
    lines = (re.sub(r"--hash=\S+|(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [Requirement(line) for line in lines if line]


def hashed(requirement: Requirement, files: Mapping[str, str]) -> str:
    """A line of the list: a requirement with the hashes of its wheels, of all files that an index has of the project.
    `files` is name -> SHA-256.

    Raises:
        NoWheelError: there is none for a machine that needs it.
    """
    machines = [machine for machine in MACHINES if needs(requirement.marker, machine)]
    found = {
        machine: {sha256 for name, sha256 in files.items() if fits(requirement, name, machine)} for machine in machines
    }
    for machine, wheels in found.items():
        if not wheels:
            raise NoWheelError(f"the index has no wheel of {requirement} with a hash for {machine}")
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


class _Links(HTMLParser):
    """The files of a page of links, with their hashes (PEP 503): name -> SHA-256."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.files: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = urlsplit(dict(attrs).get("href") or "")
        if tag == "a" and address.fragment.startswith("sha256="):
            self.files[Path(unquote(address.path)).name] = address.fragment.removeprefix("sha256=")


def _files_of(index_url: str, project: str) -> dict[str, str]:
    """What an index has, by the simple API, in JSON (PEP 691) or as a page of links: name -> SHA-256."""
    json_api = "application/vnd.pypi.simple.v1+json"
    request = urllib.request.Request(  # noqa: S310
        f"{index_url.rstrip('/')}/{canonicalize_name(project)}/", headers={"Accept": f"{json_api}, text/html;q=0.5"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        body: bytes = answer.read()
        if answer.headers.get_content_type() == json_api:
            return {file["filename"]: file["hashes"]["sha256"] for file in json.loads(body)["files"]}
        return _Links(body.decode()).files


def _lines(text: str, index_url: str, torch_index_url: str) -> Iterator[str]:
    yield from (line for line in text.splitlines() if line.startswith("#"))
    for requirement in requirements_of(text):
        is_of_torch_index = "+" in str(requirement.specifier)  # PyPI has no such versions
        index = torch_index_url if is_of_torch_index else index_url
        yield hashed(requirement, _files_of(index, requirement.name))


def check_complete(path: Path, requirements: list[Requirement], known: Collection[Requirement]) -> None:
    """Passes if what these pull in, as far as they are installed here, is among them or among the known ones: a device
    installs what is listed, and no more.

    Raises:
        IncompleteListError: it is not; the text names all of it.
    """
    listed = {canonicalize_name(one.name) for one in (*requirements, *known)}
    lacking = []
    for requirement in requirements:
        try:
            pulled_in = importlib.metadata.requires(requirement.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for needed in map(Requirement, pulled_in):
            wanted = any(needs(needed.marker, machine) for machine in MACHINES)
            if wanted and canonicalize_name(needed.name) not in listed:
                lacking.append(f"{path}: {requirement.name} needs {needed}: list it too, as {needed.name}==...")
    if lacking:
        raise IncompleteListError("\n".join(lacking))


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="hash_requirements", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("lists", nargs="*", type=Path, metavar="LIST", default=LISTS)
    parser.add_argument("--index-url", metavar="URL", default=INDEX_URL)
    parser.add_argument("--torch-index-url", metavar="URL", default=TORCH_INDEX_URL, help="of versions with a +")
    arguments = parser.parse_args()
    try:
        for path in arguments.lists:
            text = path.read_text()
            if path not in LISTS:
                check_complete(path, requirements_of(text), requirements_of(LISTS[0].read_text()))
            path.write_text("\n".join(_lines(text, arguments.index_url, arguments.torch_index_url)) + "\n")
    except (NoWheelError, IncompleteListError, InvalidRequirement, OSError) as error:
        sys.stderr.write(f"hash_requirements: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
