"""A component's configuration on a device: what the deployment said, and what the component changed itself."""

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Listener = Callable[[Sequence[str]], None]


class UnknownKeyError(KeyError):
    """The configuration has no such key."""


class Configuration:
    """A tree of JSON values that tells its listeners what changes."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = copy.deepcopy(dict(values or {}))
        self._listeners: list[tuple[tuple[str, ...], Listener]] = []

    @property
    def values(self) -> Mapping[str, Any]:
        """The whole tree; not to be changed."""
        return self._values

    def get(self, path: Sequence[str]) -> Any:
        """The value at a path of keys.

        Raises:
            UnknownKeyError: there is none.
        """
        value: Any = self._values
        for key in path:
            if not isinstance(value, dict) or key not in value:
                raise UnknownKeyError("/".join(path))
            value = value[key]
        return value

    def merge(self, path: Sequence[str], values: Mapping[str, Any]) -> None:
        """Merge a tree at a path: maps key by key, all else replaced; then tell who listens there or below."""
        target = self._values
        for key in path:
            if not isinstance(target.get(key), dict):
                target[key] = {}
            target = target[key]
        for changed in _merge(target, values):
            self._tell((*path, *changed))

    def replace(self, values: Mapping[str, Any]) -> None:
        """Have another tree; then tell who listens at what is not the same."""
        before, self._values = self._values, copy.deepcopy(dict(values))
        for changed in _differing(before, self._values):
            self._tell(changed)

    def listen(self, path: Sequence[str], listener: Listener) -> Callable[[], None]:
        """Have `listener` called with the path of each change at or below `path`; the result ends that."""
        entry = (tuple(path), listener)
        self._listeners.append(entry)

        def remove() -> None:
            with contextlib.suppress(ValueError):  # it was forgotten
                self._listeners.remove(entry)

        return remove

    def forget_listeners(self) -> None:
        """Tell nobody any more, as when the process that keeps the configuration starts anew."""
        self._listeners.clear()

    def _tell(self, changed: tuple[str, ...]) -> None:
        for path, listener in list(self._listeners):
            if changed[: len(path)] == path:
                listener(changed)


def updated(
    values: Mapping[str, Any], defaults: Mapping[str, Any], reset: Sequence[str], merge: Mapping[str, Any]
) -> dict[str, Any]:
    """A component's configuration after a deployment: what is at the JSON pointers `reset` is as the recipe's defaults
    have it, then keys that are missing are added from there, and `merge` is merged over it."""
    result = {} if "" in reset else copy.deepcopy(dict(values))
    for pointer in reset:
        _remove(result, pointer.lstrip("/").split("/"))
    with_defaults = copy.deepcopy(dict(defaults))
    _merge(with_defaults, result)
    _merge(with_defaults, merge)
    return with_defaults


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A tree with each text changed."""
    if isinstance(value, dict):
        return {key: mapped(below, change) for key, below in value.items()}
    if isinstance(value, list):
        return [mapped(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


def _remove(values: dict[str, Any], path: Sequence[str]) -> None:
    *above, last = path
    for key in above:
        below = values.get(key)
        if not isinstance(below, dict):
            return
        values = below
    values.pop(last, None)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, ...]]:
    differing: list[tuple[str, ...]] = []
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            differing += [(key, *below) for below in _differing(old, new)]
        elif key not in before or key not in after or old != new:
            differing.append((key,))
    return differing


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    changed: list[tuple[str, ...]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            changed += [(key, *below) for below in _merge(target[key], value)]
        elif key not in target or target[key] != value:
            target[key] = copy.deepcopy(value)
            changed.append((key,))
    return changed
