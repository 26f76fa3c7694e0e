"""What a deployment says of a component's configuration: which keys it sets, which go back to those of the recipe."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from operations.fleets.published import Component

ACCESS_CONTROL = "accessControl"

_VARIABLE = re.compile(r"\{[a-zA-Z]+:[^{}]+\}")


class UnknownKeyError(ValueError):
    """No component has such a key in its configuration, or nobody but fedgrass sets it; the text names it. `path` is
    where it is in what was given."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.path = path


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment changes in the configuration that a device has: keys that it sets, and others that it takes
    back to what the recipe has, before that."""

    merge: Mapping[str, Any] = {}
    reset: frozenset[str] = frozenset()

    @property
    def document(self) -> dict[str, Any]:
        """As AWS has it; empty if nothing is changed."""
        document: dict[str, Any] = {}
        if self.merge:
            document["merge"] = json.dumps(self.merge, sort_keys=True)
        if self.reset:
            document["reset"] = sorted(self.reset)
        return document

    def has_variables(self) -> bool:
        """Whether a value has a recipe variable, such as {iot:thingName}, which not every nucleus fills in."""
        return _VARIABLE.search(json.dumps(self.merge)) is not None


def read(document: Mapping[str, Any] | None) -> Update:
    """What AWS has of a component's `configurationUpdate`."""
    found = document or {}
    return Update(merge=json.loads(found.get("merge") or "{}"), reset=frozenset(found.get("reset") or ()))


def changed(present: Update, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Update:
    """With the keys that are `given`; one that is None goes back to what the recipe has. All others stay as they are.

    What a component may do through IPC is always that of its version's recipe: a nucleus would go on with what an
    earlier version was allowed, and keep a new one from its new topics.
    """
    merge = {key: value for key, value in (dict(present.merge) | dict(given)).items() if value is not None}
    withdrawn = {_pointer(key) for key, value in given.items() if value is None}
    reset = (present.reset | withdrawn) - {_pointer(key) for key in merge}
    if ACCESS_CONTROL in defaults:
        merge.pop(ACCESS_CONTROL, None)
        reset |= {_pointer(ACCESS_CONTROL)}
    return Update(merge=merge, reset=reset)


def divided(
    given: Mapping[str, Any],
    components: Sequence[Component],
    own: Mapping[str, str],
    additions: Sequence[Component] = (),
) -> dict[str, dict[str, Any]]:
    """Component -> which of the keys that a user gives are its: those that its recipe has. Those of `additions`, which
    may have any, are below the component's name. `own` are keys that are not for users to give, and where they come
    from.

    Raises:
        UnknownKeyError: see there.
    """
    keys = {key: component.name for component in reversed(components) for key in component.recipe.configuration}
    result: dict[str, dict[str, Any]] = {component.name: {} for component in (*components, *additions)}
    configurable = {component.name: component for component in additions if not component.recipe.is_model}
    for key, value in given.items():
        if key in own:
            raise UnknownKeyError(f"{key} is not to be set: it is {own[key]}", key)
        if key in configurable:
            result[key] = _of_addition(configurable[key], value, own[ACCESS_CONTROL])
        elif key in keys:
            result[keys[key]][key] = value
        elif havers := [name for name, component in configurable.items() if key in component.recipe.configuration]:
            raise UnknownKeyError(f"{key} is a key of {havers[0]}: write it below that name", key)
        elif any(key == component.name for component in additions):
            raise UnknownKeyError(f"{key} is a model, and has no keys to set", key)
        elif isinstance(value, Mapping):
            raise UnknownKeyError(f"{key} is not deployed by this command: name it by --component {key}", key)
        else:
            near = _near(key, keys.keys() - own)
            raise UnknownKeyError(f"no component has a key {key} in its configuration: {near}", key)
    return result


def _of_addition(component: Component, given: object, access: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UnknownKeyError(f"{component.name} needs keys of its configuration, with values", component.name)
    known = component.recipe.configuration.keys() - {ACCESS_CONTROL}
    for key in given:
        if key == ACCESS_CONTROL:
            raise UnknownKeyError(f"{key} is not to be set: it is {access}", component.name, key)
        if key not in known:
            near = _near(key, known)
            raise UnknownKeyError(
                f"{component.name} has no key {key} in its configuration: {near}", component.name, key
            )
    return dict(given)


def _near(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"


def _pointer(key: str) -> str:
    """JSON's, see RFC 6901."""
    return "/" + key.replace("~", "~0").replace("/", "~1")
