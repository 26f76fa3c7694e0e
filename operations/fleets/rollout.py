"""From what a thing group has now to what it shall have: worked out first, and then done."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from operations.deployment import Deployment
from operations.fleets import additions, canaries, configuration, documents, groups
from operations.fleets.documents import NUCLEUS, Document, Plan, Present, Rollout, Wanted
from operations.fleets.following import Following
from operations.fleets.groups import LITE, Group
from operations.fleets.published import Component, Registry, check_kind


class UninterpolatedError(ValueError):
    """The configuration has a recipe variable that a device's nucleus would not fill in."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator wants a group to have. `client` and `runtime` are names of components, of the newest published
    versions where none is given; `publishing` is the command that publishes each. `additions` are other components, by
    name, and their versions, None for the newest. `given` are keys of the configuration of all, None for one that goes
    back to what the recipe has; those of an addition are below its name."""

    federation: str
    client: str
    runtime: str
    publishing: Mapping[str, str]
    client_version: str | None = None
    runtime_version: str | None = None
    additions: Mapping[str, str | None] = {}
    given: Mapping[str, Any] = {}
    rollout: Rollout = Rollout()
    canaries: int = 0


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What is going to be done with `components`, which the deployment names; devices `download` what these need, too.
    `canaries` are the devices that get it first."""

    present: Present
    components: Sequence[Component]
    downloaded: Sequence[Component]
    plan: Plan
    document: Document
    canary_document: Document | None
    canaries: Sequence[str]

    def configuration_of(self, component: Component) -> dict[str, Any]:
        """What devices are going to have, but for what is set on single ones."""
        update = configuration.read(self.plan.components[component.name].get("configurationUpdate"))
        return dict(component.recipe.configuration) | dict(update.merge)


def prepare(client: Callable[[str], Any], deployment: Deployment, group: Group, asked: Asked) -> Prepared:
    """Work out what has to become other than it is. Nothing is changed.

    Raises:
        NotPublishedError, UnknownKeyError, UninterpolatedError, TooFewCanariesError: see there.
    """
    registry = Registry(client)
    own = {
        "federation": "the one that is named in federation.yaml",
        "bucket": f"that of the stack {deployment.stack}",
        configuration.ACCESS_CONTROL: "that of the component's recipe",
    }
    agent = registry.component(asked.client, asked.client_version, "", asked.publishing[asked.client])
    check_kind(agent, "client", asked.publishing[asked.client])
    added = additions.find(registry, asked.additions, asked.publishing)
    ranges = dict.fromkeys((agent.recipe.dependencies.get(asked.runtime, ""), *added.ranges.get(asked.runtime, ())))
    environment = registry.component(
        asked.runtime, asked.runtime_version, " ".join(ranges).strip(), asked.publishing[asked.runtime]
    )
    check_kind(environment, "runtime", asked.publishing[asked.runtime])
    components = (agent, environment, *added.deployed)
    given = configuration.divided(asked.given, (agent, environment), own, added.deployed)
    given[agent.name] |= {"federation": asked.federation, "bucket": deployment.bucket}
    present = group.present()
    wanted = [Wanted(component=component, given=given[component.name]) for component in components]
    plan = documents.planned(present, wanted, _nucleus(client, group, present, wanted))
    document = documents.deployment(group.arn, asked.federation, present, plan, asked.rollout)
    chosen: list[str] = []
    canary_document = None
    if asked.canaries:
        name = group.name + canaries.SUFFIX
        chosen = canaries.chosen(group.core_devices(), _members(client, name), asked.canaries)
        canary_document = documents.canary(document, group.arn + canaries.SUFFIX)
    return Prepared(
        present=present,
        components=components,
        downloaded=(*components, *added.needed),
        plan=plan,
        document=document,
        canary_document=canary_document,
        canaries=chosen,
    )


def deploy_to_canaries(client: Callable[[str], Any], group: Group, prepared: Prepared) -> tuple[Group, str]:
    """Deploy to the canaries, unless they have it already, or are about to; gives their group and the id of the
    deployment. Those that are no members yet become so afterwards: what an earlier deployment had for canaries is none
    of theirs."""
    name = group.name + canaries.SUFFIX
    canary_group = groups.made(client, name, f"devices that get deployments of {group.name} first, by fedgrass")
    present = canary_group.present()
    new = set(prepared.canaries) - set(canary_group.things())
    deployment_id = present.id
    if new or present.components != prepared.plan.components or failed(client, canary_group, prepared, present):
        deployment_id = canary_group.deploy(prepared.canary_document or {})
    for thing in sorted(new):
        canary_group.add(thing)
    return canary_group, deployment_id


def failed(client: Callable[[str], Any], group: Group, prepared: Prepared, present: Present) -> list[str]:
    """The devices on which a deployment has failed already, which it does not come to again."""
    names = [component.name for component in prepared.components]
    states = Following(client, group, present.id, names).look() if present.id else []
    return [state.thing for state in states if state.outcome == "failed"]


def _members(client: Callable[[str], Any], name: str) -> list[str]:
    try:
        return Group(client, name).things()
    except groups.UnknownGroupError:
        return []


def _nucleus(client: Callable[[str], Any], group: Group, present: Present, wanted: Sequence[Wanted]) -> str | None:
    """The version of the nucleus that the deployment has to name so that variables are filled in, None if there is no
    need to. A deployment can't tell a nucleus anything without naming its version.

    Raises:
        UninterpolatedError: see there.
    """
    if not any(each.update(present).has_variables() for each in wanted) or documents.interpolates(present):
        return None
    devices = group.core_devices()
    if lite := [device.thing for device in devices if device.runtime == LITE]:
        raise UninterpolatedError(
            f"the configuration has a variable such as {{iot:thingName}}, which nucleus lite does not fill in: "
            f"{_some(lite)}. Give these a thing group of their own, or use the same text on all devices"
        )
    if NUCLEUS in present.components:
        return str(present.components[NUCLEUS]["componentVersion"])
    versions = groups.nucleus_versions(client, devices)
    if len(versions) != 1:
        raise UninterpolatedError(
            f"the configuration has a variable such as {{iot:thingName}}, which the nucleus fills in if the deployment "
            f"says so, and that has to name one version of {NUCLEUS}: the devices have "
            f"{', '.join(versions) or 'none, as far as Greengrass knows'}. Deploy one version to all of {group.name}"
        )
    return versions[0]


def _some(devices: Sequence[str]) -> str:
    return ", ".join(devices[:5]) + (f" and {len(devices) - 5} more" if len(devices) > 5 else "")
