"""CloudFormation's change sets: what it would do to a stack, which is looked at before it is done."""

import secrets
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError, WaiterError

from operations.pages import listed
from operations.stack_events import Tell, Watch
from operations.stack_steps import Change, Deletion, DeploymentError, Step

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_WAIT: Any = {"Delay": 1, "MaxAttempts": 900}


class ChangeSet(Step):
    """Changes that CloudFormation has worked out, and waits to make."""

    def __init__(
        self, cloudformation: "CloudFormationClient", stack: str, ids: tuple[str, str], what: str, *, is_new: bool
    ) -> None:
        self.what = what
        self._cloudformation = cloudformation
        self._stack, (self._stack_id, self._id) = stack, ids
        self._is_new = is_new

    def wait(self) -> bool:
        """Until the changes are worked out; returns whether there are any.

        Raises:
            DeploymentError: CloudFormation refuses what it was given.
        """
        named: Any = {"ChangeSetName": self._id}
        try:
            self._cloudformation.get_waiter("change_set_create_complete").wait(**named, WaiterConfig=_WAIT)
        except WaiterError as error:
            answer: Any = error.last_response
            reason = answer.get("StatusReason") or str(error)
            reasons = "; ".join([reason, *self._invalid(**named)])
            self.discard()
            if any(text in reason for text in _NO_CHANGES):
                return False
            raise DeploymentError(f"stack {self._stack} can't be made or changed so: {reasons}") from error
        found = listed(self._cloudformation, "describe_change_set", "Changes", **named)
        self.changes = [
            Change(
                action=each.get("Action", ""),
                resource=each.get("LogicalResourceId", ""),
                kind=each.get("ResourceType", ""),
                name=each.get("PhysicalResourceId", ""),
                replaced=_REPLACED.get(each.get("Replacement", ""), ""),
            )
            for each in (change.get("ResourceChange", {}) for change in found)
        ]
        return True

    def carry_out(self, tell: Tell) -> None:
        """See `Step`."""
        watch = Watch(self._cloudformation, self._stack_id)
        try:
            self._cloudformation.execute_change_set(ChangeSetName=self._id)
        except ClientError as error:
            raise DeploymentError(f"stack {self._stack} can't be made or changed: {error}") from error
        status, failures = watch.follow(tell)
        if status not in _DONE:
            # Those of a stack that was there before may be of an earlier change.
            invalid = self._invalid(StackName=self._stack_id) if self._is_new else []
            reasons = "; ".join([*invalid, failures])
            raise DeploymentError(f"stack {self._stack} could not be made or changed, it is {status}: {reasons}")

    def discard(self) -> None:
        """See `Step`. A new stack has nothing but its change set, and goes with it."""
        self._cloudformation.delete_change_set(ChangeSetName=self._id)
        if self._is_new:
            Deletion(self._cloudformation, self._stack, self._stack_id, "").carry_out(lambda _: None)

    def _invalid(self, **named: Any) -> list[str]:
        """What CloudFormation has found wrong before it began."""
        events = self._cloudformation.describe_events(**named)["OperationEvents"]
        return [
            f"{event.get('LogicalResourceId')}: {event['ValidationStatusReason']}"
            for event in events
            if event.get("ValidationStatusReason")
        ]


_REPLACED = {"True": "yes", "Conditional": "maybe"}

Kind = Literal["CREATE", "UPDATE", "IMPORT"]


def prepared(
    cloudformation: "CloudFormationClient", stack: str, kind: Kind, what: str, **arguments: Any
) -> ChangeSet | None:
    """Changes of a stack, None if there are none. `arguments` are the template and what belongs to it.

    Raises:
        DeploymentError: CloudFormation refuses it.
    """
    try:
        made = cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName=f"fedgrass-{secrets.token_hex(8)}",
            ChangeSetType=kind,
            Capabilities=_CAPABILITIES,  # type: ignore[arg-type]
            **arguments,
        )
    except ClientError as error:
        raise DeploymentError(f"stack {stack} can't be {_WORDS[kind]}: {error}") from error
    change_set = ChangeSet(cloudformation, stack, (made["StackId"], made["Id"]), what, is_new=kind != "UPDATE")
    return change_set if change_set.wait() else None


_WORDS: dict[Kind, str] = {"CREATE": "made", "UPDATE": "updated", "IMPORT": "made around what an earlier one has left"}
