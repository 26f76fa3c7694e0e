"""A CloudFormation stack: made, brought up to date, or made again around what outlived an earlier one.

CloudFormation takes resources over into a stack that has nothing else, by an import; then an update adds the rest, and
gives them the template's configuration. (`ImportExistingResources` would do it in one step, but only for names
that a template writes as they are.)
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from operations import change_sets
from operations.change_sets import ChangeSet
from operations.stack_steps import Deletion, DeploymentError, Step, Waiting, resources_of

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef

_NEVER_MADE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
"""Of a stack that CloudFormation neither updates nor makes again before it is deleted."""

_STUCK = {"UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED"}
"""Of a stack whose resources are there, and that is not changed before someone has mended it."""


class Outlived(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that an earlier stack has left: its type, what CloudFormation finds it by, and its properties as they
    are, as a template would have them."""

    logical_id: str
    kind: str
    identifier: dict[str, str]
    properties: dict[str, Any]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a stack shall be. Of the parameters `kept` it keeps what it has, if `parameters` do not say otherwise; no
    tags at all leave it those that it has. `template` is how CloudFormation is given it, as TemplateBody or
    TemplateURL; `note` is told with its changes. A stack that has none of its `own` resources is another's."""

    template: Mapping[str, str]
    parameters: Mapping[str, str]
    kept: Sequence[str]
    tags: Mapping[str, str]
    note: str
    own: Sequence[str]


def steps(
    cloudformation: "CloudFormationClient",
    stack: str,
    wanted: Wanted,
    find_outlived: Callable[[], Sequence[Outlived]],
) -> Iterator[Step]:
    """What has to be done, in this order, for a stack to be as it is wanted; each step before the one that follows is
    worked out. None if it is so already.

    Raises:
        DeploymentError: CloudFormation refuses it, or the stack can't be changed as it is.
    """
    while found := described(cloudformation, stack):
        status, stack_id = found["StackStatus"], found.get("StackId", stack)
        check_own(cloudformation, stack, stack_id, wanted.own)
        if status in _STUCK:
            raise DeploymentError(
                f"stack {stack} is {status} and can't be changed so: look at its events in CloudFormation, mend what "
                f"they name, and give `aws cloudformation continue-update-rollback --stack-name {stack}`"
            )
        if status in _NEVER_MADE:
            what = (
                f"stack {stack} is {status}: an earlier try to make it, or to delete it, has failed, and it can't be "
                "changed any more. It is deleted, and then made again around what is retained"
            )
            yield Deletion(cloudformation, stack, stack_id, what)
        elif status == "REVIEW_IN_PROGRESS":
            yield Deletion(cloudformation, stack, stack_id, f"stack {stack} has changes that nobody has carried out")
        elif status.endswith("IN_PROGRESS"):
            yield Waiting(cloudformation, stack, stack_id, status)
        else:
            break
    else:
        outlived = find_outlived()
        if not outlived:
            yield from _change(cloudformation, stack, wanted, "CREATE", set())
            return
        yield from _take_over(cloudformation, stack, outlived)
        found = described(cloudformation, stack)
    present = {parameter["ParameterKey"] for parameter in found.get("Parameters", [])} if found else set()
    yield from _change(cloudformation, stack, wanted, "UPDATE", present)


def described(cloudformation: "CloudFormationClient", stack: str) -> "StackTypeDef | None":
    """What CloudFormation says of a stack, None if there is none of this name."""
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def check_own(cloudformation: "CloudFormationClient", stack: str, stack_id: str, own: Sequence[str]) -> None:
    """Passes if a stack has some of these resources, or none at all.

    Raises:
        DeploymentError: it has others.
    """
    present = {each["LogicalResourceId"] for each in resources_of(cloudformation, stack_id)}
    if present and not present.intersection(own):
        raise DeploymentError(
            f"stack {stack} is not one of fedgrass, it has {', '.join(sorted(present)[:3])}: name another by --stack"
        )


def _change(
    cloudformation: "CloudFormationClient",
    stack: str,
    wanted: Wanted,
    kind: change_sets.Kind,
    present: set[str],
) -> Iterator[ChangeSet]:
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in wanted.parameters.items()]
    kept = [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in wanted.kept
        if key in present and key not in wanted.parameters
    ]
    arguments: dict[str, Any] = {**wanted.template, "Parameters": [*given, *kept]}
    if wanted.tags:
        arguments["Tags"] = [{"Key": key, "Value": value} for key, value in wanted.tags.items()]
    what = f"stack {stack} is {'made' if kind == 'CREATE' else 'brought up to date'}"
    if wanted.note:
        what += f"; {wanted.note}"
    if change_set := change_sets.prepared(cloudformation, stack, kind, what, **arguments):
        yield change_set


def _take_over(cloudformation: "CloudFormationClient", stack: str, outlived: Sequence[Outlived]) -> Iterator[ChangeSet]:
    resources = {
        one.logical_id: {
            "Type": one.kind,
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": one.properties,
        }
        for one in outlived
    }
    names = ", ".join(name for one in outlived for name in one.identifier.values())
    change_set = change_sets.prepared(
        cloudformation,
        stack,
        "IMPORT",
        f"stack {stack} takes over what outlived an earlier one: {names}; all else of it is made then",
        TemplateBody=json.dumps({"Resources": resources}),
        ResourcesToImport=[
            {"ResourceType": one.kind, "LogicalResourceId": one.logical_id, "ResourceIdentifier": one.identifier}
            for one in outlived
        ],
    )
    if change_set:
        yield change_set
