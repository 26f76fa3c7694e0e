"""Components that AWS IoT Greengrass has, as `gdk component publish` has put them there."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from operations import model_component
from operations.component_versions import published
from operations.fleets import versions


class NotPublishedError(LookupError):
    """The account has no such version of a component; the text has the command that publishes it."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment has to know of a recipe: the configuration that a device has if nobody says otherwise, the
    ranges of other components' versions that it asks for, where in S3 its artifacts lie, as bucket/key, and whether it
    is one of a model that was published."""

    configuration: Mapping[str, Any] = {}
    dependencies: Mapping[str, str] = {}
    artifacts: frozenset[str] = frozenset()
    is_model: bool = False


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """A published version of a component."""

    name: str
    version: str
    recipe: Recipe


_ADDRESS = re.compile(r"s3://([^/]+/.+)", re.IGNORECASE)

_KEYS = {"client": "bucket", "runtime": "torch"}
"""A key that the configuration of each kind has, and that of no other."""


def check_kind(component: Component, kind: Literal["client", "runtime"], publish: str) -> None:
    """Pass if a component is what its name stands for: whoever may publish can give its next version to something else.

    Raises:
        NotPublishedError: it is not.
    """
    if _KEYS[kind] not in component.recipe.configuration:
        raise NotPublishedError(
            f"{component.name} {component.version} is no {kind} of fedgrass, for its configuration has no "
            f"{_KEYS[kind]}: name another version by --{kind}-version, or publish one by `{publish}`"
        )


class Registry:
    """The components of one account and Region."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        identity, self._greengrass = client("sts").get_caller_identity(), client("greengrassv2")
        partition = str(identity["Arn"]).split(":")[1]
        self._region = str(self._greengrass.meta.region_name)
        self._owned = f"arn:{partition}:greengrass:{self._region}:{identity['Account']}:components:"
        self._of_aws = f"arn:{partition}:greengrass:{self._region}:aws:components:"

    def component(self, name: str, version: str | None, requirement: str, publish: str) -> Component:
        """This version of a component; None for the newest one in the range. `publish` is the command that would
        publish it.

        Raises:
            NotPublishedError: see there.
        """
        there = published(self._greengrass, self._owned + name)
        chosen = versions.latest(there, requirement) if version is None else version
        if chosen not in there:
            found = ", ".join(sorted(there, key=versions.order, reverse=True)[:5])
            raise NotPublishedError(
                f"{name} {version or requirement} is not published in {self._region}".replace("  ", " ")
                + (f", which has {found}" if found else "")
                + f": publish it by `{publish}`"
            )
        if not versions.fits(chosen, requirement):
            raise NotPublishedError(f"{name} {chosen} does not fit: {requirement} is asked for")
        answer = self._greengrass.get_component(arn=f"{self._owned}{name}:versions:{chosen}", recipeOutputFormat="JSON")
        return Component(name=name, version=chosen, recipe=read_recipe(answer["recipe"]))

    def is_of_aws(self, name: str) -> bool:
        """Whether AWS has published a component of this name, for all accounts, and this one has not."""
        return not published(self._greengrass, self._owned + name) and bool(
            published(self._greengrass, self._of_aws + name)
        )


def read_recipe(recipe: bytes) -> Recipe:
    """A recipe in JSON. Its keys may be written in any case, as AWS IoT Greengrass takes them."""
    found = _lowered(msgspec.json.decode(recipe))
    dependencies = found.get("componentdependencies") or {}
    manifests = map(_lowered, found.get("manifests") or [])
    artifacts = [_lowered(each) for manifest in manifests for each in manifest.get("artifacts") or []]
    addresses = [_ADDRESS.fullmatch(str(each.get("uri", ""))) for each in artifacts]
    return Recipe(
        configuration=_lowered(found.get("componentconfiguration") or {}).get("defaultconfiguration") or {},
        dependencies={name: str(_lowered(each).get("versionrequirement", "")) for name, each in dependencies.items()},
        artifacts=frozenset(each[1] for each in addresses if each),
        is_model=model_component.read_identity(recipe) is not None,
    )


def _lowered(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in named.items()}
