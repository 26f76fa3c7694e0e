"""A thing group, the core devices in it, and its deployments, as AWS has them."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from operations.fleets.documents import Document, Present
from operations.pages import listed

LITE = "aws_nucleus_lite"


class UnknownGroupError(LookupError):
    """AWS IoT has no thing group of this name."""


class CoreDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the group that has been heard of as a core device."""

    thing: str
    runtime: str
    architecture: str
    is_healthy: bool


class Group:
    """Of a name. `client` gives a boto3 client by its service's name.

    Raises:
        UnknownGroupError: see there.
    """

    def __init__(self, client: Callable[[str], Any], name: str) -> None:
        self.name = name
        self._iot, self._greengrass = client("iot"), client("greengrassv2")
        try:
            self.arn = str(self._iot.describe_thing_group(thingGroupName=name)["thingGroupArn"])
        except self._iot.exceptions.ResourceNotFoundException:
            raise UnknownGroupError(
                f"AWS IoT has no thing group {name!r}: see `aws iot list-thing-groups`, or make it by `aws iot "
                f"create-thing-group --thing-group-name {name}`, and add your devices to it"
            ) from None

    def things(self) -> list[str]:
        """Its members, those of groups below it as well."""
        asked: Any = {"thingGroupName": self.name, "recursive": True}
        return sorted(listed(self._iot, "list_things_in_thing_group", "things", **asked))

    def core_devices(self) -> list[CoreDevice]:
        """Those of its members that Greengrass has heard of, by name."""
        found = [
            CoreDevice(
                thing=each["coreDeviceThingName"],
                runtime=each.get("runtime", ""),
                architecture=each.get("architecture", ""),
                is_healthy=each["status"] == "HEALTHY",
            )
            for each in listed(self._greengrass, "list_core_devices", "coreDevices", thingGroupArn=self.arn)
        ]
        return sorted(found, key=lambda device: device.thing)

    def present(self) -> Present:
        """Its latest deployment; an empty one if it has none."""
        asked = {"targetArn": self.arn, "historyFilter": "LATEST_ONLY"}
        latest = next(listed(self._greengrass, "list_deployments", "deployments", **asked), None)
        return Present() if latest is None else self.deployment(latest["deploymentId"])

    def deployment(self, deployment_id: str) -> Present:
        """One of its deployments."""
        found = self._greengrass.get_deployment(deploymentId=deployment_id)
        return Present(
            id=deployment_id,
            name=found.get("deploymentName", ""),
            status=found.get("deploymentStatus", ""),
            is_latest=found.get("isLatestForTarget", True),
            components=found.get("components", {}),
            tags=found.get("tags", {}),
        )

    def deploy(self, document: Document) -> str:
        """Deploy to it; gives the deployment's id."""
        return str(self._greengrass.create_deployment(**document)["deploymentId"])

    def add(self, thing: str) -> None:
        """Make a thing a member."""
        self._iot.add_thing_to_thing_group(thingGroupName=self.name, thingName=thing)


def made(client: Callable[[str], Any], name: str, description: str) -> Group:
    """The group of this name, which is made if it is not there."""
    try:
        return Group(client, name)
    except UnknownGroupError:
        properties = {"thingGroupDescription": description}
        client("iot").create_thing_group(thingGroupName=name, thingGroupProperties=properties)
        return Group(client, name)


def nucleus_versions(client: Callable[[str], Any], devices: Sequence[CoreDevice]) -> list[str]:
    """Of the devices' nuclei, each once."""
    greengrass = client("greengrassv2")
    found = {greengrass.get_core_device(coreDeviceThingName=device.thing)["coreVersion"] for device in devices}
    return sorted(found)
