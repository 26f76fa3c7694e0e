"""docs/operator-policy.json: who has it, and nothing else, can give the commands that docs/operating.md names."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from cli.new_project import new_project
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.acted_fleets import ActedFleet
from tests.cli.published import publish, publish_runtime
from tests.cli.running import fedgrass
from tests.paths import ROOT

POLICY = json.loads((ROOT / "docs" / "operator-policy.json").read_text())
STACK = "fedgrass-op"
ROLE = "OpTokenExchangeRole"

COARSE = {
    *("cloudformation:DescribeChangeSet", "cloudformation:ExecuteChangeSet", "cloudformation:DeleteChangeSet"),
    *("cloudformation:DescribeEvents", "iot:AttachPolicy", "iot:DetachPolicy", "iot:ListTargetsForPolicy"),
    *("iam:AttachRolePolicy", "iam:DetachRolePolicy"),
}
"""Of these the embedded AWS can't tell what they are done to, or which policy is attached: so it holds them to the
name of the action alone."""


@pytest.fixture
def operator(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """A user who has the policy."""
    iam, user = aws.client("iam"), f"operator-{uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    assert {action for statement in POLICY["Statement"] for action in statement["Action"]} >= COARSE
    coarse = {"Effect": "Allow", "Action": sorted(COARSE), "Resource": "*"}
    document = json.dumps(POLICY | {"Statement": [*POLICY["Statement"], coarse]})
    iam.put_user_policy(UserName=user, PolicyName="operator", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    yield boto3.Session()
    fedgrass("destroy", "--stack", STACK, "--with-models", "--yes")


def test_the_policy_is_no_larger_than_iam_takes() -> None:
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= 6144


def test_an_operator_with_the_policy_can_give_the_commands_and_no_others(
    aws: EmbeddedAws, operator: boto3.Session, tmp_path: Path
) -> None:
    aws.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    project, group = tmp_path / "project", f"op-{uuid4().hex[:8]}"
    new_project(project, "blank", group)
    publish(aws, project, "7.0.0")
    publish_runtime(aws, "0.1.7")

    def given(*words: str) -> None:
        ended = fedgrass(*words, "--stack", STACK)
        assert ended.status == 0, (words, ended.error)

    with ActedFleet(aws, group, [f"{group}-a", f"{group}-b"]):
        given("deploy", "cloud", "--yes")
        given("init", str(project))
        fleet = ("deploy", "fleet", str(project), "--thing-group", group, "--role", ROLE)
        given(*fleet, "--canary", "1", "--yes")
        steps = fedgrass(*fleet, "--stack", STACK, "--json").result["steps"]
        assert {step["outcome"] for step in steps} == {"already so"}
        given("start", group)
        given("status", group)
        given("clients", group)
        given("logs", group)
        given("pause", group)
        given("expel", f"{group}-a")
        given("readmit", f"{group}-a")
        given("fetch", group, str(tmp_path / "run"))
        given("destroy", "--with-models", "--yes")
    for service, call, arguments in (
        ("iam", "delete_role_policy", {"RoleName": "somebody-elses", "PolicyName": "some"}),
        ("iam", "create_user", {"UserName": "another"}),
        ("s3", "create_bucket", {"Bucket": "somebody-elses"}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(operator.client(service), call)(**arguments)  # type: ignore[call-overload]
