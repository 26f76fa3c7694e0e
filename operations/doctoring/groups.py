"""Checks of a thing group: who is in it, and what is deployed to it."""

from collections.abc import Iterator

from operations.doctoring.case import Case
from operations.doctoring.finding import NotCheckedError, Observation, ok, wrong
from operations.pages import listed

_CLIENT = "com.fedgrass.Client"


class Group:
    """A thing group in a case."""

    def __init__(self, case: Case, name: str) -> None:
        self.case = case
        self.name = name

    def members(self) -> list[str]:
        """The things in it, and in the groups below it; none, if there is no such group."""
        iot = self.case.client("iot")
        things = listed(iot, "list_things_in_thing_group", "things", thingGroupName=self.name, recursive=True)
        try:
            return sorted({*things})
        except iot.exceptions.ResourceNotFoundException:
            return []

    def arn(self) -> str | None:
        """None, if there is no such group."""
        iot = self.case.client("iot")
        try:
            return str(iot.describe_thing_group(thingGroupName=self.name)["thingGroupArn"])
        except iot.exceptions.ResourceNotFoundException:
            return None


def members(group: Group) -> Iterator[Observation]:
    """There is the group, and it has members."""
    name = group.name
    if group.arn() is None:
        yield wrong("there is no such thing group", f"aws iot create-thing-group --thing-group-name {name}")
    elif count := len(group.members()):
        yield ok(f"it has {count} thing{'s' if count > 1 else ''}")
    else:
        add = f"aws iot add-thing-to-thing-group --thing-group-name {name} --thing-name <a device's>"
        yield wrong("it has no thing", add)


def group_deployment(group: Group) -> Iterator[Observation]:
    """The client is deployed to it."""
    arn, deploy = group.arn(), group.case.command(f"deploy fleet --thing-group {group.name}")
    if arn is None:
        raise NotCheckedError("there is no such thing group")
    greengrass = group.case.client("greengrassv2")
    found = greengrass.list_deployments(targetArn=arn, historyFilter="LATEST_ONLY")["deployments"]
    if not found:
        yield wrong("nothing is deployed to it", deploy)
        return
    last = greengrass.get_deployment(deploymentId=found[0]["deploymentId"])
    status, parts = last["deploymentStatus"], last.get("components", {})
    if _CLIENT not in parts:
        yield wrong(f"its deployment has no {_CLIENT}", deploy)
    elif status in ("CANCELED", "FAILED"):
        yield wrong(f"its deployment is {status}", deploy)
    else:
        yield ok(f"its deployment is {status}, with {_CLIENT} {parts[_CLIENT].get('componentVersion', '')}".rstrip())
