"""A CloudFormation stack: made, brought up to date, or made again around the bucket that outlived an earlier one.

CloudFormation takes a bucket over into a stack that has nothing else, by an import; then an update adds the rest, and
gives the bucket the template's configuration. (`ImportExistingResources` would do it in one step, but only for names
that a template writes as they are.)
"""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

_log = logging.getLogger(__name__)

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]

_NEVER_MADE = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")
"""Of a stack with nothing in it: CloudFormation neither updates it nor makes it again before it is deleted."""

_WAIT: Any = {"Delay": 1, "MaxAttempts": 900}


class DeploymentError(Exception):
    """The stack could not be made or changed; the text has CloudFormation's reasons."""


def apply(
    cloudformation: "CloudFormationClient",
    stack: str,
    template: str,
    parameters: dict[str, str],
    kept: Sequence[str],
    outlived: dict[str, str],
) -> None:
    """Make a stack of this template, or bring it up to date; returns when that is done. What it has of the parameters
    `kept` stays if `parameters` don't say otherwise. A new stack takes over the buckets that have `outlived` an earlier
    one: logical id -> name.

    Raises:
        DeploymentError: CloudFormation refused.
    """
    status = _status(cloudformation, stack)
    if status in _NEVER_MADE:
        cloudformation.delete_stack(StackName=stack)
    if status in (*_NEVER_MADE, "DELETE_IN_PROGRESS"):
        _wait(cloudformation, "stack_delete_complete", stack)
        status = None
    if status is None and outlived:
        _log.warning("stack %s takes over what outlived an earlier one: %s", stack, ", ".join(outlived.values()))
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
                for key in kept
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


def _status(cloudformation: "CloudFormationClient", stack: str) -> str | None:
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _parameters(cloudformation: "CloudFormationClient", stack: str) -> set[str]:
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {parameter["ParameterKey"] for parameter in described.get("Parameters", [])}


def _take_over(cloudformation: "CloudFormationClient", stack: str, outlived: dict[str, str]) -> None:
    resources = {
        logical_id: {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"BucketName": bucket},
        }
        for logical_id, bucket in outlived.items()
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
                    "ResourceType": "AWS::S3::Bucket",
                    "LogicalResourceId": logical_id,
                    "ResourceIdentifier": {"BucketName": bucket},
                }
                for logical_id, bucket in outlived.items()
            ],
        )
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=stack, ChangeSetName=change, WaiterConfig=_WAIT
        )
        cloudformation.execute_change_set(StackName=stack, ChangeSetName=change)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=_WAIT)
    except (ClientError, WaiterError) as error:
        raise DeploymentError(
            f"stack {stack} can't take over {', '.join(outlived.values())}, which an earlier stack of this name has "
            f"left: {error}"
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
