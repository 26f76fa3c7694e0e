"""Components that a group gets beside the client and its runtime, because an operator names them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec

from operations import model_component
from operations.fleets import versions
from operations.fleets.published import Component, NotPublishedError, Registry


class Additions(msgspec.Struct, frozen=True, kw_only=True):
    """The components that are named, and the models that these depend on, which a deployment names as well: so a newer
    model is another deployment. Of what else is needed, of this account, a nucleus takes the versions by itself.
    `ranges` are those that all of these ask for, by component."""

    deployed: Sequence[Component] = ()
    needed: Sequence[Component] = ()
    ranges: Mapping[str, Sequence[str]] = {}


def find(registry: Registry, named: Mapping[str, str | None], ours: Collection[str]) -> Additions:
    """What is `named`, each in this version, or for None in the newest that fits. `ours` are the components that are
    deployed in any case.

    Raises:
        NotPublishedError: one of them, or something that one depends on, is not there in such a version.
    """
    ranges: dict[str, list[str]] = defaultdict(list)
    asked_by: dict[str, str] = {}
    found: dict[str, Component] = {}
    waiting = list(named)
    while waiting:
        name = waiting.pop(0)
        requirement = " ".join(ranges[name])
        if name in found and versions.fits(found[name].version, requirement):
            continue
        if registry.is_of_aws(name):
            if name in named:
                raise NotPublishedError(f"{name} is a component of AWS, not of this account: {_OF_AWS}")
            continue
        try:
            component = registry.component(name, named.get(name), requirement, _publishing(name))
        except NotPublishedError as error:
            if name not in asked_by:
                raise
            raise NotPublishedError(f"{asked_by[name]} depends on {name}: {error}") from error
        found[name] = component
        for dependency, wanted in component.recipe.dependencies.items():
            if wanted not in ranges[dependency]:
                ranges[dependency].append(wanted)
            if dependency not in ours:
                asked_by[dependency] = f"{name} {component.version}"
                waiting.append(dependency)
    deployed = [each for each in found.values() if each.name in named or each.recipe.is_model]
    return Additions(
        deployed=deployed,
        needed=[each for each in found.values() if each not in deployed],
        ranges=ranges,
    )


_OF_AWS = "deploy it to the group as AWS describes it, and it stays in the group's deployment"


def _publishing(name: str) -> str:
    federation = name.removeprefix(model_component.COMPONENT)
    if federation != name:
        return f"fedgrass publish-model {federation}"
    return f"cd <the folder of {name}> && gdk component build && gdk component publish"
