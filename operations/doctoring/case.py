"""What is examined, and what several checks ask of AWS about it: each is asked once."""

import functools
from collections.abc import Callable
from typing import Any

from cloud.state.records import ClientRecord, FederationRecord
from operations import deployment, stacks
from operations.control import Operations
from operations.deployment import Deployment, NoStackError
from operations.doctoring.finding import NotCheckedError
from operations.fleets.access import roles_with
from operations.pages import listed

_USUAL = "fedgrass"
"""The stack of a command that is told of none."""


class Case:
    """An account and a stack in it, that may not be there, at a time. `client` gives a boto3 client by its service's
    name."""

    def __init__(self, client: Callable[[str], Any], stack: str, now: float) -> None:
        self.client = functools.cache(client)
        self.stack = stack
        self.now = now

    def command(self, words: str) -> str:
        """A command of fedgrass, for this stack."""
        return f"fedgrass {words}" + ("" if self.stack == _USUAL else f" --stack {self.stack}")

    @functools.cached_property
    def identity(self) -> Any:
        """What AWS says of whose credentials these are, with the headers of its answer."""
        return self.client("sts").get_caller_identity()

    @functools.cached_property
    def description(self) -> Any:
        """What CloudFormation says of the stack, None if there is none."""
        return stacks.described(self.client("cloudformation"), self.stack)

    @functools.cached_property
    def deployment(self) -> Deployment:
        """The stack's outputs.

        Raises:
            NotCheckedError: there is no stack, or it is none of this version.
        """
        try:
            return deployment.find(self.client, self.stack)
        except NoStackError as error:
            raise NotCheckedError("there is no such stack that is whole") from error

    @functools.cached_property
    def operations(self) -> Operations:
        """Its tables."""
        return Operations(self.client, self.deployment)

    @functools.cached_property
    def federations(self) -> list[FederationRecord]:
        """Its federations, but for those whose records can't be read."""
        return self.operations.federations.all()

    @functools.cached_property
    def roles(self) -> list[str]:
        """The names of the roles that have the devices' policy."""
        return sorted(roles_with(self.client("iam"), self.deployment.device_policy_arn))

    def resource(self, logical_id: str) -> str:
        """The name that a resource of the stack has in AWS."""
        found = self.client("cloudformation").describe_stack_resource(
            StackName=self.stack, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])


class Patient:
    """One device in a case."""

    def __init__(self, case: Case, thing: str) -> None:
        self.case = case
        self.thing = thing

    @functools.cached_property
    def certificates(self) -> list[str]:
        """The ARNs of its certificates."""
        found = self.case.client("iot").list_thing_principals(thingName=self.thing)
        return [principal for principal in found["principals"] if ":cert/" in principal]

    @functools.cached_property
    def groups(self) -> dict[str, str]:
        """The thing groups that it is in: name -> ARN."""
        groups = listed(self.case.client("iot"), "list_thing_groups_for_thing", "thingGroups", thingName=self.thing)
        return {group["groupName"]: group["groupArn"] for group in groups}

    @functools.cached_property
    def memberships(self) -> list[tuple[FederationRecord, ClientRecord]]:
        """The federations that it is a client of, and what is known of it there."""
        federations = {federation.federation: federation for federation in self.case.federations}
        clients = self.case.operations.clients.of_thing(self.thing, list(federations))
        return [(federations[client.federation], client) for client in sorted(clients, key=lambda one: one.federation)]
