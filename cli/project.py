"""A federation's folder on the user's machine: federation.yaml, and beside it task.py and policies.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

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


class ProjectError(Exception):
    """A federation's folder lacks something, or has something wrong in it; the text names the file and the remedy."""


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

    Raises:
        ProjectError: there is no such file, it is no YAML, or something it says or names is wrong; the text names all
            that is, each with its line.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        file = YamlFile(path)
    except OSError as error:
        raise ProjectError(f"{path} can't be read: {error.strerror}; name a federation.yaml or its folder") from error
    except InvalidYamlError as error:
        raise ProjectError(_located(path, error.line, str(error))) from error
    changed = {name: value for name, value in changes.items() if value is not None}
    raw = replaced(file.value | changed, options) if isinstance(file.value, dict) else file.value

    def refusal(problems: list[Problem]) -> ProjectError:
        return ProjectError("\n".join(map(told, problems)))

    def told(problem: Problem) -> str:
        option = option_of(problem.path, options)
        if option is not None:
            return printable(f"{option}: {problem}")
        is_changed = problem.path[:1] and problem.path[0] in changed
        return _located(path, None if is_changed else file.line_of(problem.path), str(problem))

    settings, problems = validate(raw)
    if settings is None:
        raise refusal(problems)
    project = Project(path=path, settings=settings)
    try:
        task_folder.inspect_folder(project.task)
    except TaskFolderError as error:
        raise refusal([Problem(("task",), str(error))]) from error
    try:
        task_requirements.read(project.task)
    except TaskRequirementsError as error:
        raise ProjectError("\n".join(map(printable, str(error).splitlines()))) from error
    if settings.initial_model is not None and not (project.directory / settings.initial_model).is_file():
        raise refusal([Problem(("initial_model",), f"there is no file {project.directory / settings.initial_model}")])
    try:
        custom_policies.load(project.directory, settings)
    except custom_policies.InvalidPolicyError as error:
        raise ProjectError(f"{path}: {error}") from error
    return project


def _located(path: Path, line: int | None, text: str) -> str:
    return printable(f"{path}: {text}" if line is None else f"{path}:{line}: {text}")
