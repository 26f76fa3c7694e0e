"""Reading a component's recipe as a nucleus does, strictly: what only one of the two nuclei understands is refused.

Keys are found in any case, as the classic nucleus does and as the schema that GDK checks against has them.
"""

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import msgspec
import yaml

from sandbox.nucleus.configuration import Configuration, UnknownKeyError

DEFAULT_TIMEOUT_S = 120.0
TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105  (a component's name)
STEPS = ("install", "run")

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "arm64": "aarch64"}
_VARIABLE = re.compile(r"\{([^{}\s]*)\}")


class RecipeError(ValueError):
    """A recipe that a nucleus would refuse, or that the two nuclei would read differently."""


class NoMatchingPlatformError(RecipeError):
    """No manifest of the recipe is for this machine."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a component's life: a shell script, its time limit, and its environment."""

    script: str
    timeout_s: float
    environment: Mapping[str, str]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe says for this platform. `artifacts` are file names; `steps` has install and run, if there."""

    name: str
    version: str
    dependencies: frozenset[str]
    default_configuration: Mapping[str, Any]
    artifacts: tuple[str, ...]
    steps: Mapping[str, Step]


class Variables(msgspec.Struct, frozen=True, kw_only=True):
    """What a script's recipe variables stand for."""

    thing: str
    artifacts: Path
    work: Path
    root: Path
    configuration: Configuration


def read(path: Path, attributes: Mapping[str, str] | None = None) -> Recipe:
    """The recipe in a file, YAML or JSON, for a platform: `os` and `architecture`, this machine's by default.

    Raises:
        RecipeError: it is not one, or not one for both nuclei; the text names the file and the key.
        NoMatchingPlatformError: no manifest is for this platform.
    """
    try:
        document = _Keys(yaml.safe_load(path.read_text()), path.name)
        manifest = _choose(document.children("Manifests"), attributes or this_platform(), path)
        configuration = document.child("ComponentConfiguration").value("DefaultConfiguration", dict) or {}
        return Recipe(
            name=document.text("ComponentName"),
            version=document.text("ComponentVersion"),
            dependencies=frozenset(document.value("ComponentDependencies", dict) or {}),
            default_configuration=configuration,
            artifacts=tuple(Path(urlparse(a.text("Uri")).path).name for a in manifest.children("Artifacts")),
            steps=_read_steps(manifest.child("Lifecycle")),
        )
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path} is no YAML: {error}") from error


def this_platform() -> dict[str, str]:
    """The platform attributes of this machine, by which manifests are chosen."""
    machine = platform.machine()
    return {"os": platform.system().lower(), "architecture": _ARCHITECTURES.get(machine, machine)}


def interpolate(script: str, variables: Variables) -> str:
    """The script with its recipe variables filled in.

    Raises:
        RecipeError: a brace that is no variable known to both nuclei; nucleus lite would cut the script there.
    """
    known = {
        "iot:thingName": variables.thing,
        "artifacts:path": str(variables.artifacts),
        "work:path": str(variables.work),
        "kernel:rootPath": str(variables.root),
    }

    def fill_in(match: re.Match[str]) -> str:
        name = match[1]
        if name in known:
            return known[name]
        if name.startswith("configuration:/"):
            try:
                value = variables.configuration.get(name.removeprefix("configuration:/").split("/"))
            except UnknownKeyError as error:
                raise RecipeError(f"variable {{{name}}} names a configuration key that is not there") from error
            return value if isinstance(value, str) else msgspec.json.encode(value).decode()
        raise RecipeError(f"{match[0]} in a script is no recipe variable of both nuclei: write $X instead of ${{X}}")

    if "{" in _VARIABLE.sub("", script):
        raise RecipeError(f"a brace that is no recipe variable, in script {script!r}: nucleus lite cuts it there")
    return _VARIABLE.sub(fill_in, script)


class _Keys:
    """A map of a recipe whose keys are found without regard to case."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise RecipeError(f"recipe: {where} is {raw!r}, not a map")
        self.raw = raw
        self._where = where
        self._values = {str(key).lower(): value for key, value in raw.items()}

    def value(self, key: str, kind: type[Any]) -> Any:
        value = self._values.get(key.lower())
        if value is not None and not isinstance(value, kind):
            raise RecipeError(f"recipe: {self._where}/{key} is {value!r}, not a {kind.__name__}")
        return value

    def text(self, key: str) -> str:
        value = self._values.get(key.lower())
        if not isinstance(value, str | int | float):
            raise RecipeError(f"recipe: {self._where}/{key} is {value!r}, not a text")
        return str(value)

    def child(self, key: str) -> "_Keys":
        return _Keys(self.value(key, dict) or {}, f"{self._where}/{key}")

    def children(self, key: str) -> "list[_Keys]":
        values = self.value(key, list) or []
        return [_Keys(value, f"{self._where}/{key}/{index}") for index, value in enumerate(values)]


def _choose(manifests: list[_Keys], attributes: Mapping[str, str], path: Path) -> _Keys:
    for manifest in manifests:
        wanted = manifest.child("Platform").raw
        if all(str(value) in {"*", attributes.get(str(key).lower())} for key, value in wanted.items()):
            return manifest
    raise NoMatchingPlatformError(f"recipe {path} has no manifest for platform {dict(attributes)}")


def _read_steps(lifecycle: _Keys) -> dict[str, Step]:
    shared = _environment(lifecycle)
    steps = {}
    for key, raw in lifecycle.raw.items():
        name = str(key).lower()
        if name == "setenv":
            continue
        if name not in STEPS:
            raise RecipeError(f"recipe: lifecycle step {key!r} is not known here: use {' and '.join(STEPS)}")
        step = _Keys({"Script": raw} if isinstance(raw, str) else raw, f"Lifecycle/{key}")
        if str(step.value("RequiresPrivilege", object)).lower() == "true":
            raise RecipeError(f"recipe: step {key!r} requires privilege, which the stand-in nucleus does not have")
        timeout = step.value("Timeout", object)
        steps[name] = Step(
            script=step.text("Script"),
            timeout_s=DEFAULT_TIMEOUT_S if timeout is None else float(timeout),
            environment={**shared, **_environment(step)},
        )
    return steps


def _environment(keys: _Keys) -> dict[str, str]:
    return {str(name): str(value) for name, value in keys.child("Setenv").raw.items()}
