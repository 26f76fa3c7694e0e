"""What is wrong in a recipe, in words: the place in it, the value, and what to write instead.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generator  # noqa: UP035 - needed by Python 3.9.0

if TYPE_CHECKING:
    from components.recipe_text import Tree

ARCHITECTURES = ("aarch64", "amd64")
"""What there are packages for."""

_SHOWN = 100
_ADDED = {
    "runtime": 'add runtime: "*", without which nucleus lite passes the manifest over',
    "os": "add os: linux",
    "architecture": f"add one of {', '.join(ARCHITECTURES)}",
    "Artifacts": "add it, as a list: nucleus lite takes no manifest without",
    "DependencyType": "add HARD or SOFT: nucleus lite orders starts by it only if it is there",
    "VersionRequirement": 'add a range such as ">=1.0.0 <2.0.0"',
}


def keys(
    tree: Tree, path: str, *, needed: tuple[str, ...] = (), known: tuple[str, ...] = ()
) -> Generator[str, None, dict[str, Tree]]:
    """Tells what is wrong with the keys of a map, and returns the entries that are known."""
    allowed = needed + known
    if not isinstance(tree, dict):
        yield fault(path or "recipe", tree, f"write a map with {', '.join(allowed)}")
        return {}
    for key in tree:
        if key in allowed:
            continue
        where = f"{path}/{key}" if path else key
        meant = next((one for one in allowed if one.lower() == key.lower()), None)
        if meant is None:
            yield f"{where}: no such key is read here by both nuclei: remove it, or use {', '.join(allowed)}"
        else:
            yield f"{where}: write {meant}: nucleus lite compares keys letter by letter"
    there = {key.lower() for key in tree}
    for key in needed:
        if key.lower() not in there:
            yield f"{path or 'recipe'}: {key} is missing: {_ADDED.get(key, 'add it')}"
    return {key: value for key, value in tree.items() if key in allowed}


def fault(path: str, value: Tree, remedy: str) -> str:
    return f"{path}: {_shown(value)}: {remedy}"


def _shown(value: Tree) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
