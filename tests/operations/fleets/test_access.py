"""operations/fleets/access.py: what a group's devices get, what they have already, and what is left to others."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from botocore.stub import Stubber

from operations.deployment import Deployment
from operations.fleets.access import GroupAccess, components_policy, resources_of
from operations.fleets.groups import Group
from operations.steps import Step, Steps
from sandbox.embedded_aws import EmbeddedAws
from tests.operations.fleets.examples import CLIENT, RUNTIME

TRUST = '{"Version": "2012-10-17", "Statement": []}'
READS = {f"arn:aws:s3:::components/{component.name}/*" for component in (CLIENT, RUNTIME)}


@pytest.fixture
def role(aws: EmbeddedAws, deployed: Deployment, nowhere: None) -> Iterator[str]:
    name, iam = f"tokens-{uuid4().hex[:8]}", aws.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    yield name
    with suppress(iam.exceptions.NoSuchEntityException):
        iam.detach_role_policy(RoleName=name, PolicyArn=deployed.device_policy_arn)


@pytest.fixture
def group(aws: EmbeddedAws) -> Group:
    name = f"group-{uuid4().hex[:8]}"
    aws.client("iot").create_thing_group(thingGroupName=name)
    return Group(aws.client, name)


def granted(
    client: Any, deployed: Deployment, group: Group, role: str | None, *, rehearsal: bool = False
) -> list[Step]:
    return list(GroupAccess(client, deployed, group, role, Steps(rehearsal=rehearsal)).grant((CLIENT, RUNTIME)))


def policy_of(aws: EmbeddedAws, role: str) -> Any:
    named = {"RoleName": role, "PolicyName": components_policy("fedgrass")}
    return aws.client("iam").get_role_policy(**named)["PolicyDocument"]


def test_what_devices_need_is_given_once(aws: EmbeddedAws, deployed: Deployment, group: Group, role: str) -> None:
    shown = granted(aws.client, deployed, group, role, rehearsal=True)
    assert [step.outcome for step in shown] == ["to do"] * 3
    assert [step.outcome for step in granted(aws.client, deployed, group, role)] == ["done"] * 3
    assert resources_of(policy_of(aws, role)) == READS
    assert [step.outcome for step in granted(aws.client, deployed, group, role)] == ["already so"] * 3


def test_what_may_be_downloaded_for_other_fleets_stays(
    aws: EmbeddedAws, deployed: Deployment, group: Group, role: str
) -> None:
    statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::other/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    policy = components_policy("fedgrass")
    aws.client("iam").put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    granted(aws.client, deployed, group, role)
    assert resources_of(policy_of(aws, role)) == {"arn:aws:s3:::other/*", *READS}


def test_a_policy_that_somebody_has_made_another_is_left_to_them(
    aws: EmbeddedAws, deployed: Deployment, group: Group, role: str
) -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::other/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    policy = components_policy("fedgrass")
    aws.client("iam").put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    *others, downloads = granted(aws.client, deployed, group, role)
    assert {step.outcome for step in others} == {"done"}
    assert downloads.outcome == "remains"
    assert f"let the role {role} have s3:GetObject on arn:aws:s3:::components/com.fedgrass.Client/*" in downloads.note
    assert policy_of(aws, role)["Statement"] == [statement]


@pytest.mark.usefixtures("nowhere")
def test_a_role_that_is_not_known_is_asked_for(aws: EmbeddedAws, deployed: Deployment, group: Group) -> None:
    messages, role = granted(aws.client, deployed, group, None)
    assert (messages.outcome, role.outcome) == ("done", "remains")
    assert "--role" in role.note


def with_aliases(aws: EmbeddedAws, aliases: dict[str, str]) -> Any:
    """The embedded AWS, which has no role aliases, with some."""
    iot: Any = aws.session().client("iot", endpoint_url=aws.endpoint)
    real = aws.client("iot")
    stubber = Stubber(iot)
    stubber.add_response("list_role_aliases", {"roleAliases": list(aliases)})
    for alias, arn in aliases.items():
        stubber.add_response("describe_role_alias", {"roleAliasDescription": {"roleArn": arn}}, {"roleAlias": alias})
    stubber.activate()

    class Iot:
        def __getattr__(self, name: str) -> Any:
            return getattr(iot if name == "describe_role_alias" else real, name)

        def get_paginator(self, name: str) -> Any:
            return (iot if name == "list_role_aliases" else real).get_paginator(name)

    return lambda service: Iot() if service == "iot" else aws.client(service)


@pytest.mark.usefixtures("nowhere")
def test_the_role_of_the_accounts_role_aliases_is_taken_if_they_have_one(
    aws: EmbeddedAws, deployed: Deployment, group: Group, role: str
) -> None:
    arn = f"arn:aws:iam::000000000000:role/service-role/{role}"
    client = with_aliases(aws, {"one": arn, "two": "arn:aws:iam::000000000000:role/another"})
    *_, unknown = granted(client, deployed, group, None)
    assert unknown.outcome == "remains"
    assert f"of the roles of role aliases, another, {role}, it can't be told which" in unknown.note
    steps = granted(with_aliases(aws, {"one": arn, "two": arn}), deployed, group, None)
    assert [step.outcome for step in steps][1:] == ["done", "done"]
    attached = aws.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [each["PolicyArn"] for each in attached] == [deployed.device_policy_arn]


@pytest.mark.parametrize(
    ("statements", "resources"),
    [
        ([], set()),
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "a"}, {"a"}),
        ([{"Sid": "x", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["a", "b"]}], {"a", "b"}),
        ([{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "a"}], None),
        ([{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "a"}], None),
        ([{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "a", "Condition": {}}], None),
        ([{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "a"}], None),
    ],
)
def test_only_a_policy_that_lets_things_be_read_is_taken_for_ours(statements: Any, resources: set[str] | None) -> None:
    assert resources_of({"Version": "2012-10-17", "Statement": statements}) == resources
