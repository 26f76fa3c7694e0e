"""Takes a stack away again: without what federations have learnt, unless that is to go as well."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from operations import buckets, stacks
from operations import outlived_tables as tables
from operations.deployment import OUTLIVES, TABLES, NoStackError
from operations.fleets.access import components_policy
from operations.pages import listed
from operations.stack_events import ResourceEvent, Tell
from operations.stack_names import StackNames, names_of
from operations.stack_steps import Change, Deletion, DeploymentError, Step, Waiting

_ROLE_POLICY = "AWS::IAM::RolePolicy"
_IAM_POLICY, _IOT_POLICY = "AWS::IAM::ManagedPolicy", "AWS::IoT::Policy"
_GONE = ("NoSuchBucket", "ResourceNotFoundException")
_BUCKET, _TABLE = "AWS::S3::Bucket", "AWS::DynamoDB::Table"


def steps(client: Callable[[str], Any], stack: str, *, with_models: bool) -> Iterator[Step]:
    """What takes a stack away. Models, and what is known of federations, stay for a stack that is made again under its
    name; `with_models` they go. Given again, it does what is not done yet.

    Raises:
        NoStackError: there is nothing of it.
        DeploymentError: the stack is not one of fedgrass, or it, or what belongs to it, can't be deleted.
    """
    names = names_of(client, stack)
    cloudformation = client("cloudformation")
    found = stacks.described(cloudformation, stack)
    removal = DataRemoval(client, names, with_models=with_models)
    if found is None and not removal.changes and not kept(client, names):
        raise NoStackError(f"there is nothing of a stack {stack!r} in {cloudformation.meta.region_name}")
    if found and found["StackStatus"].endswith("IN_PROGRESS") and found["StackStatus"] != "REVIEW_IN_PROGRESS":
        yield Waiting(cloudformation, stack, found.get("StackId", stack), found["StackStatus"])
        found = stacks.described(cloudformation, stack)
    if found:
        stack_id = found.get("StackId", stack)
        stacks.check_own(cloudformation, stack, stack_id, OUTLIVES)
        deletion = Deletion(cloudformation, stack, stack_id, f"stack {stack} is deleted", retained=OUTLIVES)
        detachment = Detachment(
            client, stack, [each for each in deletion.changes if each.kind in (_IAM_POLICY, _IOT_POLICY)]
        )
        if detachment.changes:
            yield detachment
        yield deletion
    if removal.changes:
        yield removal


def kept(client: Callable[[str], Any], names: StackNames) -> list[str]:
    """What there is of models and tables, by name."""
    found = tables.left(client("dynamodb"), names.stack, TABLES)
    return [
        *([names.bucket] if buckets.exists(client("s3"), names.bucket, names.account) else []),
        *(name for of_one in found.values() for name in of_one),
    ]


class Detachment(Step):
    """Of the policies that devices have from the stack, which can't be deleted as long as somebody has them. What their
    role may download goes with them."""

    what = "devices lose what the stack's policies allow them"

    def __init__(self, client: Callable[[str], Any], stack: str, policies: Sequence[Change]) -> None:
        self._iam, self._iot = client("iam"), client("iot")
        self._stack, self._downloads = stack, components_policy(stack)
        self._acts = [act for policy in policies for act in self._of(policy)]
        self.changes = [change for change, _ in self._acts]

    def carry_out(self, tell: Tell) -> None:
        """See `Step`."""
        for change, act in self._acts:
            act()
            status = "DETACHED" if change.action == "Detach" else "DELETE_COMPLETE"
            tell(ResourceEvent(resource=change.resource, kind=change.kind, status=status, reason=""))

    def _of(self, policy: Change) -> Iterator[tuple[Change, Callable[[], object]]]:
        def change(name: str) -> Change:
            return Change(action="Detach", resource=policy.resource, kind=policy.kind, name=name)

        if policy.kind == _IOT_POLICY:
            for target in listed(self._iot, "list_targets_for_policy", "targets", policyName=policy.name):
                yield change(target), partial(self._iot.detach_policy, policyName=policy.name, target=target)
            return
        of_kinds = {"Role": self._iam.detach_role_policy, "User": self._iam.detach_user_policy}
        of_kinds["Group"] = self._iam.detach_group_policy
        for page in self._iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=policy.name):
            for kind, detach in of_kinds.items():
                for entity in page[f"Policy{kind}s"]:
                    name = entity[f"{kind}Name"]
                    yield change(name), partial(detach, **{f"{kind}Name": name, "PolicyArn": policy.name})
            for role in (role["RoleName"] for role in page["PolicyRoles"]):
                policies = listed(self._iam, "list_role_policies", "PolicyNames", RoleName=role)
                if self._downloads in policies and not self._serves_another(role, policy):
                    removed = Change(
                        action="Remove", resource=policy.resource, kind=_ROLE_POLICY, name=f"{role}/{self._downloads}"
                    )
                    yield removed, partial(self._iam.delete_role_policy, RoleName=role, PolicyName=self._downloads)

    def _serves_another(self, role: str, policy: Change) -> bool:
        """Whether a stack of this name in another Region has given the role its policy, too: roles are in no Region."""
        attached = listed(self._iam, "list_attached_role_policies", "AttachedPolicies", RoleName=role)
        prefix = f"{self._stack}-{policy.resource}-"
        return any(each["PolicyName"].startswith(prefix) and each["PolicyArn"] != policy.name for each in attached)


class DataRemoval(Step):
    """Of what no stack deletes: the functions' packages, and `with_models` the bucket and the tables."""

    def __init__(self, client: Callable[[str], Any], names: StackNames, *, with_models: bool) -> None:
        self._s3, self._dynamodb, self._account = client("s3"), client("dynamodb"), names.account
        self.what = "what the stack has left is deleted for good: the functions' packages"
        if with_models:
            self.what += ", and all models, updates and records of its federations"
        named = [("", names.code_bucket), *([("Bucket", names.bucket)] if with_models else [])]
        found = tables.left(self._dynamodb, names.stack, TABLES) if with_models else {}
        self.changes = [
            *(
                Change(action="Remove", resource=resource, kind=_BUCKET, name=name)
                for resource, name in named
                if buckets.exists(self._s3, name, names.account)
            ),
            *(
                Change(action="Remove", resource=resource, kind=_TABLE, name=name)
                for resource, of_one in found.items()
                for name in of_one
            ),
        ]

    def carry_out(self, tell: Tell) -> None:
        """See `Step`."""
        for change in self.changes:
            try:
                if change.kind == _BUCKET:
                    buckets.delete(self._s3, change.name, self._account)
                else:
                    tables.delete(self._dynamodb, change.name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _GONE:  # the same command, given twice at once
                    raise DeploymentError(f"{change.name} can't be deleted: {error}; give the command again") from error
            tell(ResourceEvent(resource=change.name, kind=change.kind, status="DELETE_COMPLETE", reason=""))
