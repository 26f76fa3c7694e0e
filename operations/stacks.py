"""A CloudFormation stack: made, brought up to date, or made again around what outlived an earlier one.

CloudFormation takes resources over into a stack that has nothing else, by an import; then an update adds the rest, and
gives them the template's configuration. (`ImportExistingResources` would do it in one step, but only for names
that a template writes as they are.)
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError, WaiterError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef

_log = logging.getLogger(__name__)

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]

_NEVER_MADE = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")
"""Of a stack with nothing in it: CloudFormation neither updates it nor makes it again before it is deleted."""

_WAIT: Any = {"Delay": 1, "MaxAttempts": 900}


class DeploymentError(Exception):
    """The stack could not be made or changed; the text has CloudFormation's reasons."""


class Outlived(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that an earlier stack has left: its type, what CloudFormation finds it by, and its properties as they
    are, as a template would have them."""

    logical_id: str
    kind: str
    identifier: dict[str, str]
    properties: dict[str, Any]


def apply(
    cloudformation: "CloudFormationClient",
    stack: str,
    template: str,
    parameters: dict[str, str],
    parameters_unchanged: Sequence[str],
    find_outlived: Callable[[], Sequence[Outlived]],
) -> None:
    """Make a stack of this template, or bring it up to date; returns when that is done. What it has of the parameters
    `parameters_unchanged` stays if `parameters` don't say otherwise. A new stack takes over what has outlived an
    earlier one.

    Raises:
        DeploymentError: CloudFormation refused.
    """
    found = described(cloudformation, stack)
    status = found["StackStatus"] if found else None
    if status in _NEVER_MADE:
        cloudformation.delete_stack(StackName=stack)
    if status in (*_NEVER_MADE, "DELETE_IN_PROGRESS"):
        _wait(cloudformation, "stack_delete_complete", stack)
        status = None
    outlived = find_outlived() if status is None else ()
    if outlived:
        _log.warning("stack %s takes over what outlived an earlier one: %s", stack, _named(outlived))
        _take_over(cloudformation, stack, outlived)
        status = "IMPORT_COMPLETE"
    present = set() if status is None else _parameters(cloudformation, stack)
    arguments: Any = {
        "StackName": stack,
        "TemplateBody": template,
        "Capabilities": _CAPABILITIES,
        "Parameters": [
            *({"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()),
            *(
                {"ParameterKey": key, "UsePreviousValue": True}
                for key in parameters_unchanged
                if key in present and key not in parameters
            ),
        ],
    }
    try:
        if status is None:
            cloudformation.create_stack(**arguments)
        else:
            cloudformation.update_stack(**arguments)
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return
        raise DeploymentError(f"stack {stack} can't be {'updated' if status else 'made'}: {error}") from error
    _wait(cloudformation, "stack_update_complete" if status else "stack_create_complete", stack)


def described(cloudformation: "CloudFormationClient", stack: str) -> "StackTypeDef | None":
    """What CloudFormation says of a stack, None if there is none of this name."""
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _parameters(cloudformation: "CloudFormationClient", stack: str) -> set[str]:
    found = described(cloudformation, stack)
    return {parameter["ParameterKey"] for parameter in found.get("Parameters", [])} if found else set()


def _named(outlived: Sequence[Outlived]) -> str:
    return ", ".join(name for one in outlived for name in one.identifier.values())


def _take_over(cloudformation: "CloudFormationClient", stack: str, outlived: Sequence[Outlived]) -> None:
    resources = {
        one.logical_id: {
            "Type": one.kind,
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": one.properties,
        }
        for one in outlived
    }
    change = "take-over"
    try:
        cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName=change,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps({"Resources": resources}),
            ResourcesToImport=[
                {
                    "ResourceType": one.kind,
                    "LogicalResourceId": one.logical_id,
                    "ResourceIdentifier": one.identifier,
                }
                for one in outlived
            ],
        )
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=stack, ChangeSetName=change, WaiterConfig=_WAIT
        )
        cloudformation.execute_change_set(StackName=stack, ChangeSetName=change)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=_WAIT)
    except (ClientError, WaiterError) as error:
        raise DeploymentError(
            f"stack {stack} can't take over {_named(outlived)}, which an earlier stack of this name has left: {error}"
        ) from error


def _wait(cloudformation: "CloudFormationClient", event: Any, stack: str) -> None:
    try:
        cloudformation.get_waiter(event).wait(StackName=stack, WaiterConfig=_WAIT)
    except WaiterError as error:
        reasons = "; ".join(_reasons(cloudformation, stack)) or str(error)
        raise DeploymentError(f"stack {stack} could not be made, changed or deleted: {reasons}") from error


def _reasons(cloudformation: "CloudFormationClient", stack: str) -> Iterator[str]:
    """Why it failed: what CloudFormation says of each resource, also of those that it has not begun with."""
    for event in cloudformation.describe_events(StackName=stack)["OperationEvents"]:
        if reason := event.get("ValidationStatusReason"):
            yield f"{event.get('LogicalResourceId')}: {reason}"
    for failed in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        if failed.get("ResourceStatus", "").endswith("FAILED"):
            yield f"{failed.get('LogicalResourceId')}: {failed.get('ResourceStatusReason', '')}"
