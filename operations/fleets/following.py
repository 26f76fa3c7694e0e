"""What becomes of a deployment on each device of its group, until it has come to an end on all of them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
from botocore.exceptions import ClientError

from operations.fleets import reasons
from operations.fleets.groups import Group
from operations.pages import listed

Outcome = Literal["absent", "waiting", "under way", "done", "failed"]

_PARALLEL = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0

_OUTCOMES: Mapping[str, Outcome] = {
    "QUEUED": "waiting",
    "IN_PROGRESS": "under way",
    "COMPLETED": "done",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "TIMED_OUT": "failed",
    "CANCELED": "failed",
    "REJECTED": "failed",
}
"""AWS's words for what a core device makes of a deployment."""

_ENDED: tuple[Outcome, ...] = ("done", "failed")


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a device is with a deployment; one that is absent is no core device, or has never connected: it gets the
    deployment when it does. `status` is AWS's word for it, "" if AWS has none yet. `reason` is a
    sentence, "" where there is nothing to be said. `versions` is what it reports of the deployed components."""

    thing: str
    outcome: Outcome
    status: str = ""
    reason: str = ""
    versions: Mapping[str, str] = {}


class Following:
    """Of one deployment, with the `components` that are looked for on devices that have it. `client` gives a boto3
    client by its service's name."""

    def __init__(
        self, client: Callable[[str], Any], group: Group, deployment_id: str, components: Sequence[str]
    ) -> None:
        self._greengrass = client("greengrassv2")
        self._group = group
        self._id = deployment_id
        self._components = components
        self._ended: dict[str, DeviceState] = {}

    def look(self) -> list[DeviceState]:
        """How far each device is now. What has ended on a device is not asked for again."""
        things = self._group.things()
        heard_of = {device.thing for device in self._group.core_devices()}
        pending = [thing for thing in things if thing in heard_of and thing not in self._ended]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            states = {state.thing: state for state in pool.map(self._state_of, pending)}
        deployment = self._group.deployment(self._id)
        unheard = (thing for thing in things if thing not in heard_of)
        states |= {thing: DeviceState(thing=thing, outcome="absent", reason=_UNHEARD) for thing in unheard}
        if not deployment.is_latest or deployment.status in ("CANCELED", "INACTIVE"):
            states = {thing: _cut_off(state, is_latest=deployment.is_latest) for thing, state in states.items()}
        self._ended |= {thing: state for thing, state in states.items() if state.outcome in _ENDED}
        return [self._ended.get(thing) or states[thing] for thing in things]

    def to_its_end(self, limit_s: float) -> Iterator[list[DeviceState]]:
        """How far each device is, again and again: the last time when it has ended on all, or the time is up."""
        ends_at = time.monotonic() + limit_s
        pause_s = _FIRST_PAUSE_S
        while True:
            states = self.look()
            yield states
            left_s = ends_at - time.monotonic()
            if is_over(states) or left_s <= 0:
                return
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.3, _LONGEST_PAUSE_S)

    def _state_of(self, thing: str) -> DeviceState:
        named: Any = {"coreDeviceThingName": thing}
        try:
            found = listed(self._greengrass, "list_effective_deployments", "effectiveDeployments", **named)
            execution = next((each for each in found if each["deploymentId"] == self._id), None)
            if execution is None:
                return DeviceState(thing=thing, outcome="waiting")
            if _OUTCOMES[execution["coreDeviceExecutionStatus"]] not in _ENDED:
                return state(thing, execution, [])
            installed = list(listed(self._greengrass, "list_installed_components", "installedComponents", **named))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return DeviceState(thing=thing, outcome="absent", reason="Greengrass does not know it any more")
        return state(thing, execution, [each for each in installed if each["componentName"] in self._components])


def state(thing: str, execution: Mapping[str, Any], installed: Iterable[Mapping[str, Any]]) -> DeviceState:
    """From what AWS tells of a device's deployment, and of those components that are looked for."""
    status = str(execution["coreDeviceExecutionStatus"])
    outcome = _OUTCOMES[status]
    versions = {each["componentName"]: each["componentVersion"] for each in installed}
    reason = ""
    if outcome == "failed":
        details = execution.get("statusDetails") or {}
        reason = reasons.sentence(status, execution.get("reason", ""), details.get("errorStack", ()))
    elif outcome == "done" and (broken := [each for each in installed if each.get("lifecycleState") == "BROKEN"]):
        outcome = "failed"
        reason = "; ".join(map(_broken, broken))
    return DeviceState(thing=thing, outcome=outcome, status=status, reason=reason, versions=versions)


def is_over(states: Iterable[DeviceState]) -> bool:
    """Whether it has ended on all devices that there are."""
    return all(each.outcome in (*_ENDED, "absent") for each in states)


_UNHEARD = "Greengrass has not heard of it yet: it gets the deployment when it connects"


def _broken(component: Mapping[str, Any]) -> str:
    told = reasons.sentence("FAILED", component.get("lifecycleStateDetails", "see its log"), ())
    return f"{component['componentName']} is {component['lifecycleState']}: {told}"


def _cut_off(pending: DeviceState, *, is_latest: bool) -> DeviceState:
    """A device to which a deployment does not come any more, if it had not come yet."""
    if pending.outcome != "waiting" and pending.status != "CANCELED":
        return pending
    reason = "the deployment was stopped" if is_latest else "another deployment has taken the place of this one"
    return msgspec.structs.replace(pending, outcome="failed", status="CANCELED", reason=reason)
