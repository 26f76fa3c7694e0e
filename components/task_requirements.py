"""The packages that a task needs beside those of com.fedgrass.Runtime: requirements.txt beside task.py.

Devices install wheels one by one, each by its hash, and nothing that is not listed: so the list has to be complete, and
to say which versions. As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Iterator, NamedTuple  # noqa: UP035 - collections.abc's can't be subscripted before 3.9.2

from components.task_folder import BuildError, TaskFolderError

FILE_NAME = "requirements.txt"
LISTS = {name: Path(__file__).with_name("runtime") / name for name in (FILE_NAME, "requirements-cuda.txt")}
"""What com.fedgrass.Runtime installs: without CUDA, and with it."""

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|\Z)")
_PINNED = re.compile(r"([a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?)\s*==\s*([0-9][a-zA-Z0-9.!+_-]*)")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
_COMMENT = re.compile(r"(^|\s)#.*")


class TaskRequirementsError(BuildError):
    """A task's requirements.txt has something that devices could not install; the text names the lines, `problems` are
    these, each with what is wrong there."""

    def __init__(self, path: Path, problems: list[tuple[int | None, str]], remedy: str = "") -> None:
        places = [(f"{path}:{line}" if line else f"{path}", told) for line, told in problems]
        super().__init__("\n".join([*(f"{place}: {told}" for place, told in places), *([remedy] if remedy else [])]))
        self.path = path
        self.problems = problems


class Requirement(NamedTuple):
    """One package of a list, on the line where it begins. `marker` says for which devices it is, "" is for all."""

    line: int
    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name as indexes compare it."""
        return re.sub(r"[-_.]+", "-", self.name).lower()

    @property
    def pinned(self) -> str:
        """The name with the version."""
        return f"{self.name}=={self.version}"

    @property
    def is_of_torch_index(self) -> bool:
        """Whether it comes from PyTorch's own index: PyPI has no versions with a + in them."""
        return "+" in self.version

    def text(self) -> str:
        """As it stands in a list."""
        marker = f" ; {self.marker}" if self.marker else ""
        return " \\\n".join([f"{self.pinned}{marker}", *(f"    --hash=sha256:{h}" for h in self.hashes)])


def read(task: Path) -> list[Requirement]:
    """What a task needs that com.fedgrass.Runtime does not have; nothing without a requirements.txt.

    Raises:
        TaskRequirementsError: see there.
    """
    path = task / FILE_NAME
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskRequirementsError(path, [(None, f"it can't be read: {error}")]) from error
    every: dict[str, set[str]] = {}
    for runtime in LISTS.values():
        for one in listed(runtime.read_text(encoding="utf-8")):
            every.setdefault(one.key, set()).add(one.version)
    always = {one.key for one in listed(LISTS[FILE_NAME].read_text(encoding="utf-8"))}
    problems: list[tuple[int | None, str]] = []
    found: dict[str, list[Requirement]] = {}
    for requirement in _parsed(text, problems):
        versions, others = every.get(requirement.key), found.setdefault(requirement.key, [])
        if versions not in (None, {requirement.version}):
            told = f"{requirement.pinned}: com.fedgrass.Runtime has {' or '.join(sorted(versions or ()))}: leave it out"
            problems.append((requirement.line, told))
        elif others and not (requirement.marker and all(other.marker for other in others)):
            problems.append((requirement.line, f"{requirement.name} is here twice, first on line {others[0].line}"))
        elif requirement.key not in always:
            others.append(requirement)
    if problems:
        raise TaskRequirementsError(path, problems)
    return [requirement for same in found.values() for requirement in same]


def listed(text: str) -> list[Requirement]:
    """What is in a list of com.fedgrass.Runtime, with a task's or without."""
    return list(_parsed(text, []))


def with_those_of(task: Path | None, name: str = FILE_NAME) -> str:
    """A list of com.fedgrass.Runtime with what a task needs besides, if there is one.

    Raises:
        TaskFolderError: the folder has no task.py.
        TaskRequirementsError: see there; or a package has no hash.
    """
    if task is not None and not (task / "task.py").is_file():
        raise TaskFolderError(f"{task} has no task.py: name the folder that has it")
    runtime, requirements = LISTS[name].read_text(encoding="utf-8"), read(task) if task else []
    if task is None or not requirements:
        return runtime
    path = task / FILE_NAME
    if unhashed := [one for one in requirements if not one.hashes]:
        raise TaskRequirementsError(
            path,
            [(one.line, f"{one.pinned} has no hash") for one in unhashed],
            f"write the hashes by: .venv/bin/python -m components.runtime.hash_requirements {path}",
        )
    return runtime + "# of the task\n" + "".join(f"{one.text()}\n" for one in requirements)


def _parsed(text: str, problems: list[tuple[int | None, str]]) -> Iterator[Requirement]:
    for number, line in _joined(text):
        hashes, asked = tuple(sorted(_HASH.findall(line))), _HASH.sub("", line)
        named, _, marker = (part.strip() for part in asked.partition(";"))
        match = _PINNED.fullmatch(named)
        if match is None or "--" in marker:
            problems.append((number, _refusal(asked.strip())))
        else:
            yield Requirement(number, match[1], match[2], marker, hashes)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, without comments, each with those that it goes on with; and their numbers."""
    begun, whole = 0, ""
    for number, line in enumerate([*text.removeprefix("\ufeff").splitlines(), ""], 1):
        said = _COMMENT.sub("", line).strip()
        begun = begun or number
        whole += f" {said[:-1]}" if said.endswith("\\") else f" {said}"
        if not said.endswith("\\"):
            if whole.strip():
                yield begun, whole.strip()
            begun, whole = 0, ""


def _refusal(asked: str) -> str:
    name = _NAME.match(asked)
    if "--hash" in asked:
        return f"{asked}: a hash is --hash=sha256: and 64 of 0-9, a-f"
    if name is None or "://" in asked or "@" in asked:
        return f"{asked}: devices install wheels of an index: write name==version, without options, files and addresses"
    if "[" in asked:
        return f"{asked}: devices know no extras: list each package that it brings, as name==version"
    try:
        here = importlib.metadata.version(name[0])
    except importlib.metadata.PackageNotFoundError:
        return f"{asked}: which version? Write {name[0]}==..., with all of the version"
    return f"{asked}: which version? Here it is {name[0]}=={here}"
