"""What a component's gdk-config.json says that its build has to know.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from components.task_folder import ARTIFACT_NAME, BuildError

RUNTIME = "com.fedgrass.Runtime"
"""The component with the Python environment, where the build command names no other."""

_SEMVER = re.compile(  # https://semver.org, and the schema of gdk-config.json
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)


class ConfigError(BuildError):
    """gdk-config.json is missing, or does not say what it must."""


class Config(NamedTuple):
    """What the build needs of gdk-config.json. `task` is None where the build command names none, and `wheelhouses` is
    empty; `runtime` is the component with the Python environment that this one runs in; `region` is where it is
    published, "" if that is not said."""

    name: str
    version: str
    author: str
    task: Path | None
    runtime: str
    region: str
    wheelhouses: tuple[Path, ...] = ()


def read_config(root: Path) -> Config:
    """What `root`/gdk-config.json says.

    Raises:
        ConfigError: it is missing, no JSON, lacks a field, or its version is neither a semantic version nor NEXT_PATCH.
    """
    path = root / "gdk-config.json"
    try:
        components: dict[str, dict[str, Any]] = json.loads(path.read_bytes())["component"]
        ((name, component),) = components.items()
        author, version, command = component["author"], component["version"], component["build"]["custom_build_command"]
        region = component.get("publish", {}).get("region", "")
        options = _options_of(command)
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: build in the directory of a component's gdk-config.json") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, argparse.ArgumentError) as error:
        raise ConfigError(
            f"{path} must describe one component, with author, version and build.custom_build_command: {error!r}"
        ) from error
    for called in (name, options.runtime):
        if not ARTIFACT_NAME.fullmatch(called):
            raise ConfigError(f"{path}: component name {called!r} may only have a-z, A-Z, 0-9, '.', '_' and '-'")
    if version != "NEXT_PATCH" and not (isinstance(version, str) and _SEMVER.fullmatch(version)):
        raise ConfigError(f"{path}: version {version!r} is no semantic version like 1.2.3, and not NEXT_PATCH")
    return Config(name, version, str(author), options.task, options.runtime, str(region), tuple(options.wheelhouse))


def _options_of(command: list[str] | str) -> argparse.Namespace:
    """The --task, --runtime and each --wheelhouse of GDK's build command, so that a build without GDK makes what GDK
    makes."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--task", type=Path)
    parser.add_argument("--runtime", default=RUNTIME)
    parser.add_argument("--wheelhouse", type=Path, action="append", default=[])
    return parser.parse_known_args(shlex.split(command) if isinstance(command, str) else command)[0]
