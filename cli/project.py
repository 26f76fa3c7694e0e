"""A federation's folder on the user's machine: federation.yaml, and beside it task.py and policies.py."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from cloud import policies
from cloud.settings import Federation, InvalidSettingsError, parse

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
        """Federation -> policies.py, if the settings ask for own rules: what the functions' package takes along."""
        if not self.settings.own_rules:
            return {}
        return {self.settings.name: (self.directory / policies.FILE_NAME).read_bytes()}


def load(path: Path, **changes: Any) -> Project:
    """A federation's folder, by its federation.yaml or by the folder itself; `changes` replace settings.

    Raises:
        ProjectError: there is no such file, it is no YAML, or something it says or names is wrong.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ProjectError(f"{path} can't be read: {error.strerror}; name a federation.yaml or its folder") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ProjectError(f"{path} must be a mapping of settings: name, training, rounds, ...")
    try:
        project = Project(path=path, settings=parse(raw | {k: v for k, v in changes.items() if v is not None}))
        policies.load(project.directory, project.settings)
    except (InvalidSettingsError, policies.InvalidPolicyError) as error:
        raise ProjectError(f"{path}: {error}") from error
    if not (project.task / "task.py").is_file():
        raise ProjectError(f"{path}: task: there is no task.py in {project.task}")
    return project
