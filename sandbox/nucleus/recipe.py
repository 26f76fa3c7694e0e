"""Reading a component's recipe as a nucleus does. `RecipeTraits` has what the two nuclei read differently."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import msgspec
import yaml

from sandbox.recipe_keys import Keys, RecipeError

DEFAULT_TIMEOUT_S = 120.0
TIMEOUTS_S = {"shutdown": 15.0, "recover": 60.0}
"""Of the steps that have less than DEFAULT_TIMEOUT_S."""
TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105  (a component's name)
NOT_HERE = frozenset({"bootstrap"})
"""Steps of both nuclei that the stand-in can't run."""

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "arm64": "aarch64"}


class NoMatchingPlatformError(RecipeError):
    """No manifest of the recipe is for this machine."""


class RecipeTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the nuclei read differently: whether keys are found in their exact case only; whether scalars of YAML keep
    their types, or are all texts; the steps of a life that are run (others are ignored by who `ignores_steps`, and
    refused here by who does not); whether a step's Skipif counts; the `runtime` of a platform that they are, the keys
    without which a manifest's platform is not theirs, and the dependencies that they pass over."""

    exact_keys: bool
    keeps_types: bool
    steps: frozenset[str]
    ignores_steps: bool
    skips: bool
    runtime: str
    needed_platform: frozenset[str]
    passed_over: frozenset[str]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact by its file name; `zipped` if the recipe wants it unpacked. `digest` is SHA-256 in base64, which the
    service adds when the component is published."""

    name: str
    uri: str
    zipped: bool
    digest: str | None = None


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """What another component has to be; what has a hard dependency starts after it, and restarts with it."""

    requirement: str
    is_hard: bool


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a component's life: a shell script, its time limit, and its environment. `skip_if` is when it is
    left out: "onpath <program>" or "exists <file>", "" for never."""

    script: str
    timeout_s: float
    environment: Mapping[str, str]
    skip_if: str = ""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe says for this platform. `steps` has those of its life that are there, by name."""

    name: str
    version: str
    dependencies: Mapping[str, Dependency]
    default_configuration: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]
    steps: Mapping[str, Step]


def read(path: Path, traits: RecipeTraits, attributes: Mapping[str, str] | None = None) -> Recipe:
    """The recipe in a file, YAML or JSON, for a platform: `os` and `architecture`, this machine's by default.

    Raises:
        RecipeError: it is not one; the text names the file and the key.
        NoMatchingPlatformError: no manifest is for this platform.
    """
    loader = yaml.SafeLoader if traits.keeps_types or path.suffix == ".json" else yaml.BaseLoader
    try:
        raw = yaml.load(path.read_text(), loader)  # noqa: S506  (BaseLoader makes nothing but texts)
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path} is no YAML: {error}") from error
    document = Keys(raw, path.name, exact=traits.exact_keys)
    manifest = _choose(document.children("Manifests"), attributes or this_platform(), traits, path)
    configuration = document.child("ComponentConfiguration").value("DefaultConfiguration", dict) or {}
    return Recipe(
        name=document.text("ComponentName"),
        version=document.text("ComponentVersion"),
        dependencies=_read_dependencies(document.child("ComponentDependencies"), traits),
        default_configuration=configuration,
        artifacts=tuple(map(_read_artifact, manifest.children("Artifacts"))),
        steps=_read_steps(manifest.child("Lifecycle"), traits),
    )


def this_platform() -> dict[str, str]:
    """The platform attributes of this machine, by which manifests are chosen."""
    machine = platform.machine()
    return {"os": platform.system().lower(), "architecture": _ARCHITECTURES.get(machine, machine)}


def _choose(manifests: list[Keys], attributes: Mapping[str, str], traits: RecipeTraits, path: Path) -> Keys:
    given = {**attributes, "runtime": traits.runtime}
    for manifest in manifests:
        platform_keys = manifest.child("Platform")
        wanted = {platform_keys.known(str(key)): str(value) for key, value in platform_keys.raw.items()}
        if traits.needed_platform <= wanted.keys() and all(
            value in {"*", given.get(key)} for key, value in wanted.items()
        ):
            return manifest
    raise NoMatchingPlatformError(f"recipe {path} has no manifest for platform {given}")


def _read_dependencies(dependencies: Keys, traits: RecipeTraits) -> dict[str, Dependency]:
    found = {}
    for name in (one for one in dependencies.raw if one not in traits.passed_over):
        dependency = dependencies.child(name)
        kind = dependency.value("DependencyType", str) or "HARD"
        found[name] = Dependency(requirement=dependency.text("VersionRequirement"), is_hard=kind.upper() == "HARD")
    return found


def _read_artifact(artifact: Keys) -> Artifact:
    uri = artifact.text("Uri")
    return Artifact(
        name=Path(urlparse(uri).path).name,
        uri=uri,
        zipped=str(artifact.value("Unarchive", str)).upper() == "ZIP",
        digest=artifact.value("Digest", str),
    )


def _read_steps(lifecycle: Keys, traits: RecipeTraits) -> dict[str, Step]:
    shared = _environment(lifecycle)
    steps = {}
    for key, raw in lifecycle.raw.items():
        name = lifecycle.known(str(key))
        if name == lifecycle.known("Setenv"):
            continue
        if name not in traits.steps:
            if traits.ignores_steps and name not in NOT_HERE:
                continue
            raise RecipeError(
                f"recipe: lifecycle step {key!r} is not known here: use {', '.join(sorted(traits.steps))}"
            )
        step = lifecycle.step(name, raw)
        if str(step.value("RequiresPrivilege", object)).lower() == "true":
            raise RecipeError(f"recipe: step {key!r} requires privilege, which the stand-in nucleus does not have")
        timeout = step.value("Timeout", object)
        steps[name] = Step(
            script=step.text("Script"),
            timeout_s=TIMEOUTS_S.get(name, DEFAULT_TIMEOUT_S) if timeout is None else float(timeout),
            environment={**shared, **_environment(step)},
            skip_if=(step.value("Skipif", str) or "") if traits.skips else "",
        )
    return steps


def _environment(keys: Keys) -> dict[str, str]:
    return {str(name): str(value) for name, value in keys.child("Setenv").raw.items()}
