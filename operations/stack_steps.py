"""What is done to a stack, one step after the other: each is shown before it is taken, or not taken at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from operations.pages import listed
from operations.stack_events import Tell, Watch

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef


class DeploymentError(Exception):
    """The stack could not be made, changed or deleted; the text has the reasons of CloudFormation, or of S3."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Of one resource: `action` is CloudFormation's word, Add, Modify, Remove or Import. `name` is what it is called in
    the account, as far as it has a name yet. `replaced` says whether there will be another one in its place."""

    action: str
    resource: str
    kind: str
    name: str = ""
    replaced: str = ""


class Step(ABC):
    """`what` is a sentence that says what will be done, `changes` say what becomes of which resource. One without
    changes takes nothing and gives nothing."""

    what: str
    changes: Sequence[Change] = ()

    @abstractmethod
    def carry_out(self, tell: Tell) -> None:
        """Do it; returns when it is done.

        Raises:
            DeploymentError: it could not be done.
        """

    def discard(self) -> None:  # noqa: B027 - most prepare nothing
        """Take back what was prepared for it."""


class Waiting(Step):
    """Until what is under way has come to its end: an earlier command that was cut off, or someone else's."""

    def __init__(self, cloudformation: "CloudFormationClient", stack: str, stack_id: str, status: str) -> None:
        self.what = f"stack {stack} is {status}, by an earlier command or by someone else: its end is waited for"
        self._cloudformation = cloudformation
        self._watch = Watch(cloudformation, stack_id)
        self._stack_id = stack_id

    def carry_out(self, tell: Tell) -> None:
        """See `Step`."""
        # It may have ended between the look at it and the first event that the watch knows.
        status = self._cloudformation.describe_stacks(StackName=self._stack_id)["Stacks"][0]["StackStatus"]
        if status.endswith("IN_PROGRESS"):
            self._watch.follow(tell)


def resources_of(cloudformation: "CloudFormationClient", stack_id: str) -> "Iterator[StackResourceSummaryTypeDef]":
    """What CloudFormation says of each resource that a stack has now."""
    every = listed(cloudformation, "list_stack_resources", "StackResourceSummaries", StackName=stack_id)
    return (each for each in every if each["ResourceStatus"] != "DELETE_COMPLETE")


class Deletion(Step):
    """Of a whole stack, but of what its template says is retained."""

    def __init__(
        self, cloudformation: "CloudFormationClient", stack: str, stack_id: str, what: str, retained: Sequence[str] = ()
    ) -> None:
        self.what = what
        self.changes = [
            Change(
                action="Retain" if each["LogicalResourceId"] in retained else "Remove",
                resource=each["LogicalResourceId"],
                kind=each["ResourceType"],
                name=each.get("PhysicalResourceId", ""),
            )
            for each in resources_of(cloudformation, stack_id)
        ]
        self._cloudformation = cloudformation
        self._stack, self._stack_id = stack, stack_id

    def carry_out(self, tell: Tell) -> None:
        """See `Step`."""
        watch = Watch(self._cloudformation, self._stack_id)
        try:
            self._cloudformation.delete_stack(StackName=self._stack_id)
        except ClientError as error:  # one that is protected from termination, for example
            raise DeploymentError(f"stack {self._stack} can't be deleted: {error}") from error
        status, failures = watch.follow(tell)
        if status != "DELETE_COMPLETE":
            raise DeploymentError(f"stack {self._stack} could not be deleted, it is {status}: {failures}")
