"""Which versions of which components a device is to have, for what its deployments name."""

from collections.abc import Callable, Collection, Mapping, Sequence

from sandbox.greengrass.versions import Requirement
from sandbox.nucleus.recipe import Recipe

MAX_STEPS = 10_000


class NoVersionError(Exception):
    """No version of a component does for all that want it."""


Find = Callable[[str, Sequence[Requirement]], Recipe | None]
"""The best version of a component that meets all requirements."""


def resolve(
    roots: Mapping[str, Mapping[str, str]], find: Find, granted: frozenset[str] = frozenset()
) -> dict[str, Recipe]:
    """The components that deployments name, and all that they depend on but what is `granted`. `roots` is target ->
    component -> version.

    Raises:
        NoVersionError: there is none; the text says who wants what.
    """
    wanted: dict[str, dict[str, str]] = {}
    for target, versions in roots.items():
        for name, version in versions.items():
            wanted.setdefault(name, {})[target] = f"={version}"
    found: dict[str, Recipe] = {}
    waiting = [*wanted]
    for _ in range(MAX_STEPS):
        if not waiting:
            return _reachable({name for versions in roots.values() for name in versions}, found)
        name = waiting.pop(0)
        recipe = _best(name, wanted[name], find)
        before = found.get(name)
        if before == recipe:
            continue
        for needed in before.dependencies if before else ():
            wanted.get(needed, {}).pop(name, None)
        found[name] = recipe
        for needed, dependency in recipe.dependencies.items():
            if needed in granted:
                continue
            wanted.setdefault(needed, {})[name] = dependency.requirement
            waiting.append(needed)
    raise NoVersionError(f"The requirements of {', '.join(found)} of each other have no end")


def _reachable(names: Collection[str], recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """What some of them is needed by, however indirectly."""
    found: dict[str, Recipe] = {}
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name in recipes and name not in found:
            found[name] = recipes[name]
            waiting += recipes[name].dependencies
    return found


def _best(name: str, wanted: Mapping[str, str], find: Find) -> Recipe:
    recipe = find(name, [Requirement(text) for text in wanted.values()])
    if recipe is None:
        by = ", ".join(f"{text} by {who}" for who, text in wanted.items())
        raise NoVersionError(f"No cloud or local version of component {name} satisfies the requirements {by}")
    return recipe
