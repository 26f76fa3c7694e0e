"""Which versions a device is to have, from what its deployments name."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from sandbox.greengrass.versions import Requirement, Version
from sandbox.nucleus.recipe import Dependency, Recipe
from sandbox.nucleus.resolution import NoVersionError, resolve


def recipe(name: str, version: str, needs: Mapping[str, str]) -> Recipe:
    dependencies = {of: Dependency(requirement=requirement, is_hard=True) for of, requirement in needs.items()}
    return Recipe(
        name=name, version=version, dependencies=dependencies, default_configuration={}, artifacts=(), steps={}
    )


Published = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Component -> version -> what it needs."""


def finding(published: Published) -> Callable[[str, Sequence[Requirement]], Recipe | None]:
    def find(name: str, requirements: Sequence[Requirement]) -> Recipe | None:
        fitting = [version for version in published.get(name, {}) if all(version in wanted for wanted in requirements)]
        best = max(fitting, key=Version, default=None)
        return None if best is None else recipe(name, best, published[name][best])

    return find


def versions(published: Published, **roots: dict[str, str]) -> dict[str, str]:
    return {name: found.version for name, found in resolve(roots, finding(published)).items()}


def test_each_dependency_is_the_highest_version_that_all_who_need_it_allow() -> None:
    published: Published = {
        "app": {"1.0.0": {"base": ">=1.0.0"}},
        "tool": {"1.0.0": {"base": "<2.0.0"}},
        "base": {"1.0.0": {}, "1.5.0": {}, "2.0.0": {}},
    }
    assert versions(published, group={"app": "1.0.0"}) == {"app": "1.0.0", "base": "2.0.0"}
    found = versions(published, group={"app": "1.0.0"}, other={"tool": "1.0.0"})
    assert found == {"app": "1.0.0", "tool": "1.0.0", "base": "1.5.0"}


def test_what_only_an_abandoned_version_needed_is_not_there() -> None:
    published: Published = {
        "app": {"1.0.0": {"base": ">=1.0.0", "pin": ">=1.0.0"}},
        "pin": {"1.0.0": {"base": "<2.0.0"}},
        "base": {"1.0.0": {}, "2.0.0": {"extra": ">=1.0.0"}},
        "extra": {"1.0.0": {}},
    }
    assert versions(published, group={"app": "1.0.0"}) == {"app": "1.0.0", "pin": "1.0.0", "base": "1.0.0"}


def test_a_root_is_the_version_that_its_deployment_names() -> None:
    published: Published = {"app": {"1.0.0": {}, "2.0.0": {}}}
    assert versions(published, group={"app": "1.0.0"}) == {"app": "1.0.0"}


def test_who_wants_what_is_told_if_there_is_no_such_version() -> None:
    published: Published = {"app": {"1.0.0": {}, "2.0.0": {}}}
    with pytest.raises(NoVersionError, match=r"component app satisfies .* =1\.0\.0 by one, =2\.0\.0 by two"):
        versions(published, one={"app": "1.0.0"}, two={"app": "2.0.0"})


def test_what_the_nucleus_takes_for_granted_is_not_looked_for() -> None:
    published: Published = {"app": {"1.0.0": {"nucleus": ">=2.0.0"}}}
    found = resolve({"group": {"app": "1.0.0"}}, finding(published), frozenset({"nucleus"}))
    assert found.keys() == {"app"}


def test_requirements_that_chase_each_other_come_to_an_end() -> None:
    published: Published = {"a": {"1.0.0": {"b": ">=1.0.0"}}, "b": {"1.0.0": {"a": ">=1.0.0"}}}
    assert versions(published, group={"a": "1.0.0"}) == {"a": "1.0.0", "b": "1.0.0"}, "the cycle is found later"
