"""Recipes as the service takes them: YAML or JSON, checked, and kept with the digests of the artifacts."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlparse

import msgspec
import yaml

from sandbox.greengrass.errors import ValidationError
from sandbox.greengrass.versions import Requirement, Version, VersionError
from sandbox.recipe_keys import Keys, RecipeError

MAX_RECIPE_BYTES = 16_000
FORMATS = ("2020-01-25",)
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_OF_AWS = re.compile(r"aws\.", re.IGNORECASE)
_SCHEMES = ("s3", "docker", "greengrass", "https")


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest is for."""

    name: str | None
    attributes: Mapping[str, str]


class PublishedRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """What the service reads in a recipe. `document` is all of it, `artifacts` the URIs of its artifacts."""

    name: str
    version: str
    description: str | None
    publisher: str | None
    dependencies: Mapping[str, Requirement]
    platforms: tuple[Platform, ...]
    artifacts: tuple[str, ...]
    document: dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Dates are texts: RecipeFormatVersion looks like one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(recipe: bytes) -> PublishedRecipe:
    """
    Raises:
        ValidationError: the service would not take it.
    """
    if len(recipe) > MAX_RECIPE_BYTES:
        raise ValidationError(f"Invalid Input: the recipe has {len(recipe)} bytes, over {MAX_RECIPE_BYTES}")
    try:
        return _read(yaml.load(recipe, _Loader))  # noqa: S506  (it is a safe one)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValidationError(f"Invalid Input: the recipe is neither YAML nor JSON: {error}") from error
    except (RecipeError, VersionError) as error:
        raise ValidationError(f"Invalid Input: Encountered following errors in Recipe: {error}") from error


def _read(raw: Any) -> PublishedRecipe:
    document = Keys(raw, "recipe", exact=False)
    if document.text("RecipeFormatVersion") not in FORMATS:
        raise RecipeError(f"RecipeFormatVersion is {document.text('RecipeFormatVersion')!r}, not {FORMATS[0]}")
    name, version = document.text("ComponentName"), document.text("ComponentVersion")
    if not _NAME.fullmatch(name):
        raise RecipeError(f"ComponentName {name!r} may only have a-z, A-Z, 0-9, '.', '_' and '-', 128 at most")
    if _OF_AWS.match(name):
        raise RecipeError(f"ComponentName {name!r} is reserved: names that begin with aws. are AWS's own")
    Version(version)
    manifests = document.children("Manifests")
    if not manifests and not document.value("Lifecycle", dict):
        raise RecipeError("it has neither Manifests nor a Lifecycle")
    has_none = any(manifest.value("Lifecycle", dict) is None for manifest in manifests)  # an empty one is one
    if has_none and not document.value("Lifecycle", dict):
        raise RecipeError("a manifest has no Lifecycle")
    return PublishedRecipe(
        name=name,
        version=version,
        description=document.value("ComponentDescription", str),
        publisher=document.value("ComponentPublisher", str),
        dependencies=_dependencies(document),
        platforms=tuple(map(_platform, manifests)),
        artifacts=tuple({_uri(artifact): None for one in manifests for artifact in one.children("Artifacts")}),
        document=raw,
    )


def _dependencies(document: Keys) -> dict[str, Requirement]:
    found = {}
    dependencies = document.child("ComponentDependencies")
    for name in dependencies.raw:
        dependency = dependencies.child(name)
        kind = dependency.value("DependencyType", str) or "HARD"
        if kind.upper() not in {"HARD", "SOFT"}:
            raise RecipeError(f"DependencyType of {name} is {kind!r}, not HARD or SOFT")
        found[name] = Requirement(dependency.text("VersionRequirement"))
    return found


def _platform(manifest: Keys) -> Platform:
    attributes = {str(key): str(value) for key, value in manifest.child("Platform").raw.items()}
    return Platform(name=manifest.value("Name", str), attributes=attributes)


def _uri(artifact: Keys) -> str:
    uri = artifact.text("Uri")
    if urlparse(uri).scheme not in _SCHEMES:
        raise RecipeError(f"artifact URI {uri!r} begins with none of {', '.join(f'{one}:' for one in _SCHEMES)}")
    return uri


def with_digests(document: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """The recipe with the SHA-256 digest of each artifact, base64, as devices check them. `digests` is by URI."""
    result = copy.deepcopy(dict(document))
    for manifest in _ignoring_case(result, "Manifests") or []:
        for artifact in _ignoring_case(manifest, "Artifacts") or []:
            digest = digests.get(_ignoring_case(artifact, "Uri"))
            if digest is not None:
                artifact |= {"Digest": digest, "Algorithm": "SHA-256"}
    return result


def _ignoring_case(raw: Mapping[str, Any], key: str) -> Any:
    return next((value for name, value in raw.items() if str(name).lower() == key.lower()), None)


def written(document: Mapping[str, Any], form: str) -> bytes:
    """A recipe as JSON or YAML."""
    text = json.dumps(document, default=str) if form == "JSON" else yaml.safe_dump(dict(document), sort_keys=False)
    return text.encode()
