"""Checks the accessControl of a recipe: what its component uses of MQTT is allowed, and nothing more.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterator, Pattern  # noqa: UP035 - needed by Python 3.9.0

from protocol import names

if TYPE_CHECKING:
    from components.recipe_text import Tree

MQTT = "aws.greengrass.ipc.mqttproxy"
_PATH = "ComponentConfiguration/DefaultConfiguration/accessControl"
_FIELDS = {"policyDescription", "operations", "resources"}
_FEDERATION, _THING = "any-federation", "any-thing"


def faults(access_control: Tree, component: str, *, uses_mqtt: bool) -> Iterator[str]:
    """What is wrong with it: the place in the recipe, the value, and what to write instead. A component that is none
    of the agent's uses nothing."""
    if not isinstance(access_control, dict):
        yield f"{_PATH}: {access_control!r}: write a map, by service"
        return
    allowed: set[tuple[str, str]] = set()
    for service, policies in access_control.items():
        path = f"{_PATH}/{service}"
        if service != MQTT or not uses_mqtt:
            yield f"{path}: the component does not use this: remove it"
        elif not isinstance(policies, dict):
            yield f"{path}: {policies!r}: write a map, by policy"
        else:
            for policy_id, policy in policies.items():
                yield from _policy(policy, f"{path}/{policy_id}", allowed)
                if not policy_id.startswith(f"{component}:"):
                    yield (
                        f"{path}/{policy_id}: no two components can have a policy of the same id, so it begins with "
                        f'the name: write "{{COMPONENT_NAME}}:{policy_id.partition(":")[2] or policy_id}"'
                    )
    if uses_mqtt:
        yield from _uncovered(allowed)


def _policy(policy: Tree, path: str, allowed: set[tuple[str, str]]) -> Iterator[str]:
    """What is wrong with one policy; what it allows is added to `allowed`."""
    if not isinstance(policy, dict):
        yield f"{path}: {policy!r}: write a map with {', '.join(sorted(_FIELDS))}"
        return
    for key in policy:
        if key not in _FIELDS:
            meant = next((field for field in _FIELDS if field.lower() == key.lower()), None)
            remedy = f"write {meant}" if meant else f"remove it, or use {', '.join(sorted(_FIELDS))}"
            yield f"{path}/{key}: no nucleus reads this key: {remedy}"
    lists = {}
    for key in ("operations", "resources"):
        value = policy.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            yield f"{path}/{key}: {value!r}: write a list of texts"
        else:
            lists[key] = [str(one) for one in value]
    for operation in lists.get("operations", []):
        if operation not in _topics():
            yield f"{path}/operations: {operation!r}: the component does not use it: use {', '.join(_topics())}"
            continue
        for number, resource in enumerate(lists.get("resources", [])):
            if any(pattern.fullmatch(resource) for pattern in _topics()[operation].values()):
                allowed.add((operation, resource))
            else:
                yield f"{path}/resources/{number}: {resource!r}: {_why_not(resource, operation)}"


def _why_not(resource: str, operation: str) -> str:
    if "{iot:" in resource:
        return "write * for the thing's name: nucleus lite takes the variable literally; its IoT policy bounds a device"
    verb = "subscribe" if operation.endswith("SubscribeToIoTCore") else "publish"
    return f"the component does not {verb} to that: remove it, or write one of {', '.join(_topics()[operation])}"


def _uncovered(allowed: set[tuple[str, str]]) -> Iterator[str]:
    """The topics without which no round is trained. A recipe may name federations instead of all (*): then each of
    them needs each topic."""
    found: dict[tuple[str, str], set[str]] = {}
    for operation, patterns in _topics().items():
        for topic, pattern in patterns.items():
            matches = (pattern.fullmatch(resource) for allowed_to, resource in allowed if allowed_to == operation)
            found[operation, topic] = {match[1] for match in matches if match}
    named = set().union(*found.values())
    wanted = {"*"} if "*" in named or not named else named
    for (operation, topic), has in found.items():
        if "*" in has:
            continue
        for federation in sorted(wanted - has):
            needed = topic.replace("fedgrass-*", f"fedgrass-{federation}", 1)
            needed = needed.replace("fedgrass/*", f"fedgrass/{federation}", 1)
            yield f"{_PATH}/{MQTT}: no policy allows {operation} on {needed!r}, which the agent needs: add it"


def _topics() -> dict[str, dict[str, Pattern[str]]]:
    """Operation -> topic with * for all federations and things -> what a resource for it may be; its group is the
    federation. Things are not named: one recipe is for all."""
    used = {
        "aws.greengrass#SubscribeToIoTCore": names.subscribed_topics(_FEDERATION, _THING),
        "aws.greengrass#PublishToIoTCore": names.published_topics(_FEDERATION, _THING),
    }
    return {
        operation: {
            topic.replace(_FEDERATION, "*").replace(_THING, "*"): re.compile(
                re.escape(topic)
                .replace(re.escape(_FEDERATION), r"(\*|[a-z0-9][a-z0-9-]{0,39})")
                .replace(re.escape(_THING), r"\*")
            )
            for topic in topics
        }
        for operation, topics in used.items()
    }
