"""What the devices of a group may do in AWS: the policies of a stack, and the right to download its components.

AWS IoT counts a policy of a thing group for all things in it, whose client ID is the thing's name, as the nucleus's is:
so one attachment does for all certificates, those of devices that join later as well.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from operations.deployment import Deployment
from operations.fleets.groups import Group
from operations.fleets.published import Component
from operations.pages import listed
from operations.steps import Step, Steps, remains


class ForeignPolicyError(ValueError):
    """A policy of ours that somebody has changed to something else."""


def components_policy(stack: str) -> str:
    """Name of the policy, one of a role's own, that lets devices download components."""
    return f"{stack}-components"


class UnknownRoleError(LookupError):
    """The account has no role of this name."""


class GroupAccess:
    """Of a group's devices. `role` is the one that their token exchange service takes, None if it is to be found:
    that of the account's role aliases."""

    def __init__(
        self, client: Callable[[str], Any], deployment: Deployment, group: Group, role: str | None, steps: Steps
    ) -> None:
        self._iot, self._iam = client("iot"), client("iam")
        self._deployment = deployment
        self._group = group
        self._role = role
        self._steps = steps
        if role is not None:
            self._check_role(role)

    def policies(self, components: Iterable[Component]) -> dict[str, Any]:
        """The policies that devices need, by name: for MQTT, for the bucket, and for what they download."""
        arn, name = self._deployment.device_policy_arn, self._deployment.device_iot_policy_name
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        of_role = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        return {
            name: _parsed(self._iot.get_policy(policyName=name)["policyDocument"]),
            arn.rpartition("/")[2]: _parsed(of_role),
            components_policy(self._deployment.stack): _reading(self._resources(components)),
        }

    def grant(self, components: Iterable[Component]) -> Iterator[Step]:
        """Take the steps that are not taken yet; what AWS refuses remains to be done by hand."""
        yield self._messages()
        arn = self._deployment.device_policy_arn
        what = f"the role of the devices of {self._group.name} has {arn}, to read models and write updates"
        by_hand = f"aws iam attach-role-policy --role-name <the devices' role> --policy-arn {arn}; or name it by --role"
        try:
            attached = set(roles_with(self._iam, arn))
            roles = {self._role} if self._role else attached or set(role_aliases(self._iot).values())
        except ClientError as error:
            yield remains(what, error, by_hand)
            return
        if len(roles) != 1 and not attached:
            note = (
                f"of the roles of role aliases, {', '.join(sorted(roles)) or 'none'}, it can't be told which: {by_hand}"
            )
            yield Step(what=what, outcome="remains", note=note)
            return
        resources = self._resources(components)
        for role in sorted(roles):
            yield self._models(role, role in attached)
            if resources:
                yield self._downloads(role, resources)

    def _resources(self, components: Iterable[Component]) -> set[str]:
        partition = self._deployment.device_policy_arn.split(":")[1]
        return {
            f"arn:{partition}:s3:::{_readable_for(component.name, artifact)}"
            for component in components
            for artifact in component.recipe.artifacts
        }

    def _messages(self) -> Step:
        name = self._deployment.device_iot_policy_name
        what = f"thing group {self._group.name} has the IoT policy {name}, to be assigned rounds and to say hello"
        by_hand = f"aws iot attach-policy --policy-name {name} --target {self._group.arn}"
        try:
            is_so = self._group.arn in listed(self._iot, "list_targets_for_policy", "targets", policyName=name)
        except ClientError as error:
            return remains(what, error, by_hand)
        return self._steps.take(
            what, is_so, lambda: self._iot.attach_policy(policyName=name, target=self._group.arn), by_hand
        )

    def _check_role(self, role: str) -> None:
        try:
            self._iam.get_role(RoleName=role)
        except (ClientError, ParamValidationError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else "ValidationError"
            if code in ("NoSuchEntity", "ValidationError"):
                raise UnknownRoleError(
                    f"the account has no role {role!r}: see `aws iam list-roles`, or leave out --role"
                ) from error
            # whoever may not look at roles is told which steps remain

    def _models(self, role: str, is_so: bool) -> Step:
        arn = self._deployment.device_policy_arn
        return self._steps.take(
            f"role {role} has {arn}, to read models and write updates",
            is_so,
            lambda: self._iam.attach_role_policy(RoleName=role, PolicyArn=arn),
            f"aws iam attach-role-policy --role-name {role} --policy-arn {arn}",
        )

    def _downloads(self, role: str, resources: set[str]) -> Step:
        policy = components_policy(self._deployment.stack)
        what = f"role {role} may download what is deployed, by its policy {policy}"
        by_hand = f"let the role {role} have s3:GetObject on {', '.join(sorted(resources))}"
        try:
            present = self._readable(role, policy)
        except (ClientError, ForeignPolicyError) as error:
            return remains(what, error, by_hand)
        document = json.dumps(_reading(present | resources))
        return self._steps.take(
            what,
            resources <= present,
            lambda: self._iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document),
            by_hand,
        )

    def _readable(self, role: str, policy: str) -> set[str]:
        try:
            document = self._iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        except self._iam.exceptions.NoSuchEntityException:
            return set()
        found = resources_of(_parsed(document))
        if found is None:
            raise ForeignPolicyError(f"policy {policy} of role {role} says more than what may be downloaded")
        return found


def roles_with(iam: Any, policy_arn: str) -> list[str]:
    """The names of the roles that a policy is attached to."""
    roles = listed(iam, "list_entities_for_policy", "PolicyRoles", PolicyArn=policy_arn, EntityFilter="Role")
    return [role["RoleName"] for role in roles]


def role_aliases(iot: Any) -> dict[str, str]:
    """The account's role aliases: name -> that of the role."""
    aliases = listed(iot, "list_role_aliases", "roleAliases")
    arns = {alias: iot.describe_role_alias(roleAlias=alias)["roleAliasDescription"]["roleArn"] for alias in aliases}
    return {alias: arn.rpartition("/")[2] for alias, arn in arns.items()}


def _readable_for(component: str, artifact: str) -> str:
    """All that lies in a folder of the component's name, so that its next version needs no more; else the artifact."""
    before, is_below, _ = artifact.partition(f"/{component}/")
    return f"{before}/{component}/*" if is_below else artifact


def _parsed(document: Any) -> Any:
    return json.loads(document) if isinstance(document, str) else document


_READ = "s3:GetObject"


def resources_of(document: Mapping[str, Any]) -> set[str] | None:
    """What a policy allows to read; None if it says anything else."""
    statements = document.get("Statement", [])
    found: set[str] = set()
    for statement in statements if isinstance(statements, list) else [statements]:
        match statement:
            case {"Effect": "Allow", "Action": "s3:GetObject" | ["s3:GetObject"], "Resource": resources, **others} if (
                not others.keys() - {"Sid"}
            ):
                found |= {resources} if isinstance(resources, str) else set(resources)
            case _:
                return None
    return found


def _reading(resources: set[str]) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": _READ, "Resource": sorted(resources)}
    return {"Version": "2012-10-17", "Statement": [statement]}
