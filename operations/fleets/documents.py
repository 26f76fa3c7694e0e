"""Deployments of a thing group, as documents that AWS IoT Greengrass takes and gives.

A deployment replaces the list of a group's components. So the one that a group has is taken as it is, but for the
components that are fedgrass's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from operations.fleets import configuration
from operations.fleets.configuration import Update
from operations.fleets.published import Component

NUCLEUS = "aws.greengrass.Nucleus"
INTERPOLATION = "interpolateComponentConfiguration"

_IN_PROGRESS_MINUTES = 180
"""A device may put a deployment off while a round is under way, and then install for up to an hour."""

_POLICIES: Mapping[str, Any] = {
    "failureHandlingPolicy": "ROLLBACK",
    "componentUpdatePolicy": {"action": "NOTIFY_COMPONENTS", "timeoutInSeconds": 60},
    "configurationValidationPolicy": {"timeoutInSeconds": 60},
}

Document = dict[str, Any]
"""What CreateDeployment is given."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment goes to the devices of a group: to how many a minute at most, if that is bounded; and from how
    many failures on it is given to no more of them: that share of so many devices, or of more."""

    per_minute: int | None = None
    failed_percent: float = 20.0
    failed_of: int = 5

    @property
    def document(self) -> dict[str, Any]:
        """As AWS has it."""
        criterion = {
            "failureType": "ALL",
            "action": "CANCEL",
            "thresholdPercentage": self.failed_percent,
            "minNumberOfExecutedThings": self.failed_of,
        }
        document: dict[str, Any] = {
            "abortConfig": {"criteriaList": [criterion]},
            "timeoutConfig": {"inProgressTimeoutInMinutes": _IN_PROGRESS_MINUTES},
        }
        if self.per_minute is not None:
            document["jobExecutionsRolloutConfig"] = {"maximumPerMinute": self.per_minute}
        return document


CANARY = Rollout(failed_percent=1.0, failed_of=1)
"""The first failure ends it."""


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment of a group, the latest one if nothing else is said; `components` are as AWS has them."""

    id: str = ""
    name: str = ""
    status: str = ""
    is_latest: bool = True
    components: Mapping[str, Mapping[str, Any]] = {}
    tags: Mapping[str, str] = {}

    def update_of(self, component: str) -> Update:
        """What it says of a component's configuration."""
        return configuration.read(self.components.get(component, {}).get("configurationUpdate"))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A component that a group shall have, and the keys of its configuration that are given: None stands for what its
    recipe has."""

    component: Component
    given: Mapping[str, Any] = {}

    def update(self, present: Present) -> Update:
        """What its configuration becomes, in a deployment that follows this one."""
        before = present.update_of(self.component.name)
        return configuration.changed(before, self.given, self.component.recipe.configuration)


class VersionChange(msgspec.Struct, frozen=True, kw_only=True):
    """Of a component; `before` is "" if the group does not have it yet."""

    component: str
    before: str
    after: str


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """Of a key in a component's configuration. None is what the recipe has; before, where both are, what a device may
    have kept of earlier deployments."""

    component: str
    key: str
    before: Any
    after: Any


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The components that a group shall have, as AWS takes them, and what becomes other than it is."""

    components: Mapping[str, Mapping[str, Any]]
    versions: Sequence[VersionChange]
    keys: Sequence[KeyChange]

    @property
    def changes(self) -> bool:
        """Whether anything does."""
        return bool(self.versions or self.keys)


def planned(present: Present, wanted: Sequence[Wanted], nucleus: str | None = None) -> Plan:
    """What a group's components become. `nucleus` is the version of the nucleus that is to fill in the variables of
    their configuration; None if there is no need for that, or its deployment says so already."""
    entries = {name: dict(entry) for name, entry in present.components.items()}
    versions: list[VersionChange] = []
    keys: list[KeyChange] = []

    def put(name: str, version: str, after: Update) -> None:
        entry, before = entries.get(name, {}), present.update_of(name)
        present_version = str(entry.get("componentVersion", ""))
        if present_version == version and before == after:
            return
        if present_version != version:
            versions.append(VersionChange(component=name, before=present_version, after=version))
        keys.extend(_key_changes(name, before, after, is_new=not entry))
        entries[name] = {key: value for key, value in entry.items() if key != "configurationUpdate"} | {
            "componentVersion": version
        }
        if after.document:
            entries[name]["configurationUpdate"] = after.document

    for each in wanted:
        put(each.component.name, each.component.version, each.update(present))
    if nucleus is not None:
        before = present.update_of(NUCLEUS)
        put(NUCLEUS, nucleus, msgspec.structs.replace(before, merge=dict(before.merge) | {INTERPOLATION: True}))
    return Plan(components=entries, versions=versions, keys=keys)


def interpolates(present: Present) -> bool:
    """Whether the deployment has the nucleus fill in the variables of components' configuration."""
    return str(present.update_of(NUCLEUS).merge.get(INTERPOLATION, "")).lower() == "true"


def deployment(group_arn: str, name: str, present: Present, plan: Plan, rollout: Rollout) -> Document:
    """The next deployment of a group."""
    document: Document = {
        "targetArn": group_arn,
        "deploymentName": present.name or name,
        "components": plan.components,
        "deploymentPolicies": _POLICIES,
        "iotJobConfiguration": rollout.document,
    }
    return document | ({"tags": present.tags} if present.tags else {})


def canary(document: Document, canary_arn: str) -> Document:
    """The same, first for a part of the group's devices. It is a subdeployment: a nucleus takes it for one of the
    group itself. Of a group of its own it would keep the components that it was given there, next to other versions
    of them that the group itself gets later: Greengrass refuses that."""
    return document | {
        "targetArn": canary_arn,
        "parentTargetArn": document["targetArn"],
        "deploymentName": f"{document['deploymentName']} (canary)",
        "iotJobConfiguration": CANARY.document,
    }


def _key_changes(component: str, before: Update, after: Update, *, is_new: bool) -> list[KeyChange]:
    named = sorted(before.merge.keys() | after.merge.keys())
    found = [
        KeyChange(component=component, key=key, before=before.merge.get(key), after=after.merge.get(key))
        for key in named
        if before.merge.get(key) != after.merge.get(key)
    ]
    if is_new:  # no device has anything that could go back
        return found
    told = {f"/{change.key}" for change in found}
    return found + [
        KeyChange(component=component, key=pointer.removeprefix("/"), before=None, after=None)
        for pointer in sorted(after.reset - before.reset - told)
    ]
