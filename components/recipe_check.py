"""Checks a built recipe: stricter than the schema of GDK, which both nuclei and the service that takes it are not.

Nucleus lite compares keys letter by letter and ignores what it does not know, so that a component whose recipe is
misspelt installs and does not run. What is refused here is a recipe that one of the two nuclei would read otherwise
than it is meant. As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Mapping  # noqa: UP035 - needed by Python 3.9.0

from components import recipe_access, recipe_lifecycle
from components.recipe_faults import ARCHITECTURES, fault, keys

if TYPE_CHECKING:
    from components.gdk_config import Config
    from components.recipe_text import Tree

CLIENT_ARTIFACT = "client.zip"
"""What has this artifact runs the agent: it needs the topics that the agent uses, and reads its configuration."""

ARTIFACT_PREFIX = "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/"
NUCLEUS = "aws.greengrass.Nucleus"
_NUCLEUS_LITE = "aws.greengrass.NucleusLite"
_MAX_NAME = 128

_RANGE = re.compile(
    r"(?:[<>]=?|=)?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?(?: +[<>]=?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)*"
)
_AGENT = Path(__file__).parent / "client" / "agent"


def faults(recipe: Tree, config: Config) -> Iterator[str]:
    """What is wrong with a recipe, as a build leaves it: the place in it, the value, and what to write instead. What
    gdk-config.json says it has to say too."""
    yield from _dollars(recipe, "")
    top = yield from keys(
        recipe,
        "",
        needed=("RecipeFormatVersion", "ComponentName", "ComponentVersion", "Manifests"),
        known=(
            "ComponentDescription",
            "ComponentPublisher",
            "ComponentType",
            "ComponentConfiguration",
            "ComponentDependencies",
        ),
    )
    yield from _identity(top, config)
    manifests = top.get("Manifests", [])
    configuration = yield from keys(
        top.get("ComponentConfiguration", {}), "ComponentConfiguration", known=("DefaultConfiguration",)
    )
    defaults = configuration.get("DefaultConfiguration", {})
    if not isinstance(defaults, dict):
        yield fault("ComponentConfiguration/DefaultConfiguration", defaults, "write a map of keys and values")
        defaults = {}
    runs_agent = f"{ARTIFACT_PREFIX}{CLIENT_ARTIFACT}" in _uris(manifests)
    yield from recipe_access.faults(defaults.get("accessControl", {}), config.name, uses_mqtt=runs_agent)
    if runs_agent:
        yield from _settings(defaults)
    dependencies = top.get("ComponentDependencies", {})
    yield from _dependencies(dependencies)
    hard = {
        name
        for name, one in (dependencies.items() if isinstance(dependencies, dict) else ())
        if isinstance(one, dict) and one.get("DependencyType") == "HARD"
    }
    yield from _manifests(manifests, recipe_lifecycle.Scope(defaults, hard))


def _identity(top: Mapping[str, Tree], config: Config) -> Iterator[str]:
    expected = {
        "RecipeFormatVersion": ("2020-01-25", '"2020-01-25"'),
        "ComponentName": (config.name, '"{COMPONENT_NAME}"'),
        "ComponentVersion": (config.version, '"{COMPONENT_VERSION}"'),
        "ComponentPublisher": (config.author, '"{COMPONENT_AUTHOR}"'),
        "ComponentType": ("aws.greengrass.generic", "aws.greengrass.generic, or leave it out"),
    }
    for key, (value, written) in expected.items():
        if key in top and top[key] != value:
            filled_in = ", which the build fills in from gdk-config.json" if "{" in written else ""
            yield fault(key, top[key], f"write {written}{filled_in}")
    if len(config.name) > _MAX_NAME:
        yield fault("ComponentName", config.name, f"take a name of no more than {_MAX_NAME} characters")


def _settings(defaults: Mapping[str, Tree]) -> Iterator[str]:
    known = {"accessControl", *agents_settings()}
    for key in defaults:
        if key not in known:
            path = f"ComponentConfiguration/DefaultConfiguration/{key}"
            yield f"{path}: the agent has no such setting, and would ignore it: use {', '.join(sorted(known))}"


def agents_settings() -> Iterator[str]:
    """What the agent reads of its configuration, as its source says: this Python may be too old to read that."""
    for name in ("Configuration", "Conditions"):
        source = (_AGENT / f"{name.lower()}.py").read_text(encoding="utf-8")
        fields = re.split(r"^    (?:@|def )", source.partition(f"\nclass {name}(")[2], maxsplit=1, flags=re.MULTILINE)
        yield from re.findall(r"^    (\w+): \w", fields[0], re.MULTILINE)


def _dependencies(dependencies: Tree) -> Iterator[str]:
    if not isinstance(dependencies, dict):
        yield fault("ComponentDependencies", dependencies, "write a map of components' names")
        return
    for name, dependency in dependencies.items():
        path = f"ComponentDependencies/{name}"
        fields = yield from keys(dependency, path, needed=("VersionRequirement", "DependencyType"))
        if name == _NUCLEUS_LITE:
            yield f"{path}: a classic nucleus can't have it: write {NUCLEUS}, which nucleus lite passes over"
        kind = fields.get("DependencyType")
        if kind is not None and name == NUCLEUS and kind != "SOFT":
            yield fault(f"{path}/DependencyType", kind, "write SOFT, or each restart of the nucleus is one of this")
        elif kind is not None and kind not in ("HARD", "SOFT"):
            yield fault(f"{path}/DependencyType", kind, "write HARD or SOFT, which nucleus lite compares by letter")
        versions = fields.get("VersionRequirement")
        if versions is not None and not (isinstance(versions, str) and _RANGE.fullmatch(versions)):
            remedy = 'write a range such as ">=1.0.0 <2.0.0"; nucleus lite has no ^, ~ or ||'
            yield fault(f"{path}/VersionRequirement", versions, remedy)


def _manifests(manifests: Tree, scope: recipe_lifecycle.Scope) -> Iterator[str]:
    if not isinstance(manifests, list) or not manifests:
        yield fault("Manifests", manifests, "write a list with one entry for each platform")
        return
    taken: dict[str, str] = {}
    for number, manifest in enumerate(manifests):
        path = f"Manifests/{number}"
        parts = yield from keys(manifest, path, needed=("Platform", "Artifacts"), known=("Name", "Lifecycle"))
        yield from _platform(parts.get("Platform", {}), f"{path}/Platform", taken)
        yield from _artifacts(parts.get("Artifacts", []), f"{path}/Artifacts")
        yield from recipe_lifecycle.faults(parts.get("Lifecycle", {}), f"{path}/Lifecycle", scope)


def _platform(platform: Tree, path: str, taken: dict[str, str]) -> Iterator[str]:
    if platform == {}:
        return  # told as missing
    values = yield from keys(platform, path, needed=("os", "architecture", "runtime"))
    if values.get("os", "linux") != "linux":
        yield fault(f"{path}/os", values["os"], "write linux, which is all that this runs on")
    if values.get("runtime", "*") != "*":
        yield fault(f"{path}/runtime", values["runtime"], 'write "*", for the classic nucleus and for nucleus lite')
    architecture = values.get("architecture")
    if architecture is None:
        return
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        remedy = f"write {', '.join(ARCHITECTURES)}: there are no packages for others"
        yield fault(f"{path}/architecture", architecture, remedy)
    elif architecture in taken:
        yield fault(f"{path}/architecture", architecture, f"remove one: {taken[architecture]} is chosen before it")
    else:
        taken[architecture] = path


def _artifacts(artifacts: Tree, path: str) -> Iterator[str]:
    if not isinstance(artifacts, list):
        yield fault(path, artifacts, "write a list, - Uri: ... for each")
        return
    seen: set[str] = set()
    for number, artifact in enumerate(artifacts):
        place = f"{path}/{number}"
        fields = yield from keys(artifact, place, needed=("Uri",), known=("Unarchive", "Permission"))
        uri = fields.get("Uri")
        if uri is not None and not (isinstance(uri, str) and uri.startswith(ARTIFACT_PREFIX)):
            yield fault(f"{place}/Uri", uri, f"write {ARTIFACT_PREFIX}<file>, which GDK fills in when it publishes")
        elif isinstance(uri, str):
            if uri in seen:
                yield fault(f"{place}/Uri", uri, "remove it: it is in the list already")
            seen.add(uri)
        if fields.get("Unarchive", "NONE") != "NONE":
            remedy = "leave it out: nucleus lite unpacks nothing of a local deployment; Python imports from the zip"
            yield fault(f"{place}/Unarchive", fields["Unarchive"], remedy)
        rights = yield from keys(fields.get("Permission", {}), f"{place}/Permission", known=("Read", "Execute"))
        for key, value in rights.items():
            if value not in ("NONE", "OWNER", "ALL"):
                yield fault(f"{place}/Permission/{key}", value, "write NONE, OWNER or ALL")


def _dollars(tree: Tree, path: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _dollars(key, f"{path}{key}")
            yield from _dollars(value, f"{path}{key}/")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _dollars(value, f"{path}{number}/")
    else:
        for found in re.finditer(r"\$\{[^{}]*\}?", tree):
            remedy = f"write ${found[0][2:-1]}" if re.fullmatch(r"\$\{\w+\}", found[0]) else "write it without braces"
            yield fault(path.rstrip("/"), found[0], f"{remedy}: nucleus lite cuts the text at the brace")


def _uris(manifests: Tree) -> set[str]:
    found: set[str] = set()
    for manifest in manifests if isinstance(manifests, list) else []:
        artifacts = manifest.get("Artifacts", []) if isinstance(manifest, dict) else []
        for artifact in artifacts if isinstance(artifacts, list) else []:
            if isinstance(artifact, dict):
                found.update(
                    value for key, value in artifact.items() if key.lower() == "uri" and isinstance(value, str)
                )
    return found
