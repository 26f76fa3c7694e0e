"""A federation's folder on the user's machine: federation.yaml, and beside it task.py and policies.py."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cli.settings import problems
from cli.settings.given_options import GivenOption, option_of, replaced
from cli.settings.parsing import validate
from cli.settings.problems import Problem
from cli.settings.yaml_file import InvalidYamlError, YamlFile
from cloud import custom_policies
from cloud.settings import Federation
from components import task_folder, task_requirements
from components.task_folder import TaskFolderError
from components.task_requirements import TaskRequirementsError
from components.text import printable

FILE_NAME = "federation.yaml"


class Fault(NamedTuple):
    """One thing that is wrong: in which file, at which line, if it is in one."""

    path: Path
    line: int | None
    text: str

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return printable(f"{place}: {self.text}")


class ProjectError(Exception):
    """A federation's folder lacks something, or has something wrong in it; the text names the file and the remedy.
    `faults` are the single ones."""

    def __init__(self, *faults: Fault | str) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(fault for fault in faults if isinstance(fault, Fault))


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A checked federation's folder."""

    path: Path
    settings: Federation

    @property
    def directory(self) -> Path:
        """Where federation.yaml lies."""
        return self.path.parent

    @property
    def task(self) -> Path:
        """The directory of task.py."""
        return (self.directory / self.settings.task).resolve()

    @property
    def policies(self) -> dict[str, bytes]:
        """Federation -> policies.py, if settings ask for custom functions: what the functions' package takes along."""
        if not self.settings.custom_functions:
            return {}
        return {self.settings.name: (self.directory / custom_policies.FILE_NAME).read_bytes()}


def load(path: Path, options: Sequence[GivenOption] = (), **changes: Any) -> Project:
    """A federation's folder, by its federation.yaml or by the folder itself; `options` and `changes` replace settings.
    Nothing of the user's is run.

    Raises:
        ProjectError: there is no such file, it is no YAML, or something it says or names is wrong; the text names all
            that is, each with its line.
    """
    project = read(path, options, **changes)
    try:
        task_folder.inspect_folder(project.task)
    except TaskFolderError as error:
        option, text = option_of(("task",), options), f"task: {error}"
        if option is not None:
            raise ProjectError(printable(f"{option}: {text}")) from error
        raise ProjectError(Fault(project.path, line_of_field(project.path, ("task",)), text)) from error
    try:
        task_requirements.read(project.task)
    except TaskRequirementsError as error:
        raise ProjectError(*(Fault(error.path, line, text) for line, text in error.problems)) from error
    return project


def read(path: Path, options: Sequence[GivenOption] = (), **changes: Any) -> Project:
    """As `load`, without a look at the task.

    Raises:
        ProjectError: as there.
    """
    path = file_of(path)
    try:
        file = YamlFile(path)
    except OSError as error:
        text = f"it can't be read: {error.strerror}; name a federation.yaml or its folder"
        raise ProjectError(Fault(path, None, text)) from error
    except InvalidYamlError as error:
        raise ProjectError(Fault(path, error.line, str(error))) from error
    changed = {name: value for name, value in changes.items() if value is not None}
    raw = replaced(file.value | changed, options) if isinstance(file.value, dict) else file.value

    def refusal(found: list[Problem]) -> ProjectError:
        return ProjectError(*map(told, found))

    def told(problem: Problem) -> Fault | str:
        option = option_of(problem.path, options)
        if option is not None:
            return printable(f"{option}: {problem}")
        is_changed = problem.path[:1] and problem.path[0] in changed
        return Fault(path, None if is_changed else file.line_of(problem.path), str(problem))

    settings, found = validate(raw)
    if settings is None:
        raise refusal(found)
    project = Project(path=path, settings=settings)
    if settings.initial_model is not None and not (project.directory / settings.initial_model).is_file():
        raise refusal([Problem(("initial_model",), f"there is no file {project.directory / settings.initial_model}")])
    if settings.custom_functions and not (project.directory / custom_policies.FILE_NAME).is_file():
        functions = ", ".join(settings.custom_functions)
        text = f"it asks for custom {functions}, but there is no {project.directory / custom_policies.FILE_NAME}"
        raise refusal([Problem((), text)])
    return project


def file_of(path: Path) -> Path:
    """The federation.yaml that is meant.

    Raises:
        ProjectError: it is not there, or something else is named; the text says what may have been meant.
    """
    if path.is_dir():
        found = path / FILE_NAME
        if not found.exists():
            others = sorted(other.name for other in path.glob("*") if other.suffix in (".yaml", ".yml", ".json"))
            near = difflib.get_close_matches(FILE_NAME, others, n=1)
            hint = f"did you mean {near[0]}? Rename it" if near else "name the folder that has it, or write one there"
            raise ProjectError(Fault(found, None, f"there is no such file: {hint}"))
        return found
    if not path.exists():
        raise ProjectError(Fault(path, None, f"there is no such file or folder: name a folder with {FILE_NAME}"))
    if path.suffix not in (".yaml", ".yml"):
        raise ProjectError(Fault(path, None, f"this is no {FILE_NAME}: name the folder that has it, {path.parent}"))
    return path


def line_of_field(path: Path, field: problems.Path) -> int | None:
    """Where a field stands in a file of settings."""
    return YamlFile(path).line_of(field)
