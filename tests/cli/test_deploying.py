"""`fedgrass deploy cloud` and `fedgrass destroy`: what they show before they do it, and what is there after it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from operations import stacks
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import fedgrass

STACK = "cycle"


@pytest.fixture(autouse=True)
def operator(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has credentials."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def destroyed_after(operator: None) -> Iterator[None]:
    """Leaves nothing of the stack."""
    yield
    fedgrass("destroy", "--stack", STACK, "--with-models", "--yes")


def deploy(*words: str) -> Any:
    return fedgrass("deploy", "cloud", "--stack", STACK, *words)


def destroy(*words: str) -> Any:
    return fedgrass("destroy", "--stack", STACK, *words)


def is_there(aws: EmbeddedAws) -> bool:
    return stacks.described(aws.client("cloudformation"), STACK) is not None


def buckets(aws: EmbeddedAws) -> list[str]:
    found = [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]
    return sorted(name for name in found if name.startswith(f"{STACK}-"))


@pytest.mark.usefixtures("destroyed_after")
def test_a_stack_is_shown_made_changed_and_left_as_it_is(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = deploy("--dry-run")
    assert shown.status == 0
    assert "stack cycle is made" in shown.out
    assert any(
        line.split()[:3] == ["Add", "FederationsTable", "AWS::DynamoDB::Table"] for line in shown.out.split("\n")
    )
    assert not is_there(aws)

    unasked = deploy("--json")
    assert (unasked.status, unasked.envelope["error"]["code"]) == (2, "wrong_usage")
    assert "--yes" in unasked.error
    assert not is_there(aws)

    with monkeypatch.context() as patched:
        patched.setattr("sys.stdin.isatty", lambda: True)
        patched.setattr(typer, "confirm", lambda _: False)
        declined = deploy()
    assert declined.status == 0
    assert not is_there(aws)

    made = deploy("--yes", "--json", "--parameter", "LogRetentionDays=7", "--tag", "team=vision")
    assert made.status == 0
    assert "CREATE_COMPLETE  RoundsTable  AWS::DynamoDB::Table" in made.error
    assert made.result["changed"]
    (step,) = made.result["steps"]
    assert step["done"]
    assert {change["action"] for change in step["changes"]} == {"Add"}
    assert made.result["bucket"].startswith("cycle-")
    assert made.result["device_iot_policy_name"]

    again = deploy("--json")
    assert again.status == 0
    assert "stack cycle is up to date: nothing to change" in again.error
    assert again.result == made.result | {"changed": False, "steps": []}

    def retention() -> int:
        (group,) = aws.client("logs").describe_log_groups(logGroupNamePrefix="/fedgrass/cycle-initiator")["logGroups"]
        return int(group["retentionInDays"])

    looked = deploy("--parameter", "LogRetentionDays=14", "--dry-run", "--json")
    (step,) = looked.result["steps"]
    assert not step["done"]
    assert {change["resource"] for change in step["changes"]} >= {"InitiatorLogs", "AveragerLogs"}
    assert retention() == 7
    assert deploy("--parameter", "LogRetentionDays=14", "--yes").status == 0
    assert retention() == 14


@pytest.mark.usefixtures("destroyed_after")
def test_a_stack_is_destroyed_without_its_models_made_again_around_them_and_destroyed_with_them(
    aws: EmbeddedAws,
) -> None:
    first = deploy("--yes", "--json").result
    s3, iam, iot = aws.client("s3"), aws.client("iam"), aws.client("iot")
    s3.put_object(Bucket=first["bucket"], Key="federations/digits/models/00000000.safetensors", Body=b"model")
    iam.create_role(RoleName="cycle-tokens", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    iam.attach_role_policy(RoleName="cycle-tokens", PolicyArn=first["device_policy_arn"])
    certificate = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
    group = iot.create_thing_group(thingGroupName="cycle-fleet")["thingGroupArn"]
    for target in (certificate, group):
        iot.attach_policy(policyName=first["device_iot_policy_name"], target=target)
    reading = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::components/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": reading})
    iam.put_role_policy(RoleName="cycle-tokens", PolicyName="cycle-components", PolicyDocument=document)

    looked = destroy("--dry-run", "--json")
    assert looked.status == 0
    detached, deleted, packages = looked.result["steps"]
    assert {(change["resource"], change["name"]) for change in detached["changes"]} == {
        ("DevicePolicy", "cycle-tokens"),
        ("DevicePolicy", "cycle-tokens/cycle-components"),
        ("DeviceIotPolicy", certificate),
        ("DeviceIotPolicy", group),
    }
    retained = {change["resource"] for change in deleted["changes"] if change["action"] == "Retain"}
    assert retained == {"Bucket", "FederationsTable", "ClientsTable", "RoundsTable", "ResponsesTable"}
    assert [change["name"] for change in packages["changes"]] == [first["bucket"].replace("cycle-", "cycle-code-")]
    assert is_there(aws)
    assert destroy().status == 2
    assert iam.list_attached_role_policies(RoleName="cycle-tokens")["AttachedPolicies"]

    gone = destroy("--yes")
    assert gone.status == 0
    assert "DELETE_COMPLETE  Initiator  AWS::Lambda::Function" in gone.out
    assert iam.list_role_policies(RoleName="cycle-tokens")["PolicyNames"] == []
    assert f"of stack cycle is left: {first['bucket']}, cycle-" in gone.out
    assert not is_there(aws)
    assert buckets(aws) == [first["bucket"]]
    again = destroy("--yes", "--json").result
    assert (again["changed"], again["steps"], len(again["kept"])) == (False, [], 5)

    looked = deploy("--dry-run", "--json")
    (step,) = looked.result["steps"]
    assert {change["action"] for change in step["changes"]} == {"Import"}
    assert not is_there(aws)
    second = deploy("--yes", "--json").result
    assert [step["done"] for step in second["steps"]] == [True, True]
    for field in ("bucket", "federations_table", "clients_table", "rounds_table", "responses_table"):
        assert second[field] == first[field]
    models = s3.list_objects_v2(Bucket=second["bucket"], Prefix="federations/")
    assert models["KeyCount"] == 1

    gone = destroy("--with-models", "--yes", "--json")
    assert gone.status == 0
    assert gone.result["kept"] == []
    assert buckets(aws) == []
    assert not [name for name in aws.client("dynamodb").list_tables()["TableNames"] if name.startswith("cycle-")]
    nothing = destroy("--with-models", "--yes", "--json")
    assert (nothing.status, nothing.envelope["error"]["code"]) == (3, "no_stack")


@pytest.mark.usefixtures("destroyed_after")
def test_what_an_earlier_stack_has_left_is_destroyed_without_a_stack(aws: EmbeddedAws) -> None:
    deploy("--yes")
    destroy("--yes")
    assert len(buckets(aws)) == 1
    gone = destroy("--with-models", "--yes", "--json").result
    assert (gone["changed"], gone["kept"]) == (True, [])
    assert buckets(aws) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--parameter", "Architektur=arm64"), "no parameter 'Architektur': there are Architecture, "),
        (("--parameter", "CodeKey=mine"), "no parameter 'CodeKey'"),
        (("--parameter", "Concurrency=many"), "no parameter 'Concurrency'"),
        (("--parameter", "Architecture=riscv"), "Architecture can't be 'riscv': it takes one of arm64, x86_64"),
        (("--parameter", "WithDashboard=maybe"), "WithDashboard can't be 'maybe': it takes one of yes, no"),
        (("--parameter", "LogRetentionDays=2"), "LogRetentionDays can't be '2': it takes one of 1, 3, 5, "),
        (("--parameter", "LogRetentionDays=7.0"), "LogRetentionDays can't be '7.0'"),
        (("--parameter", "UpdateRetentionDays=0"), "can't be '0': it takes a whole number from 1 on"),
        (("--parameter", "RefusalsAllowed=-1"), "can't be '-1': it takes a whole number from 0 on"),
        (("--parameter", "RefusalsAllowed="), "can't be ''"),
        (("--parameter", "AveragerMemory=20000"), "can't be '20000': it takes a whole number from 1769 to 10240"),
        (("--parameter", "AveragerMemory=lots", "--dry-run"), "can't be 'lots'"),
        (
            ("--parameter", "AlarmTopic=alarms"),
            "can't be 'alarms': it takes the ARN of an SNS topic, such as arn:aws:sns:",
        ),
        (("--parameter", "AlarmTopic=arn:aws:sqs:us-east-1:123456789012:alarms"), "it takes the ARN of an SNS topic"),
        (("--parameter", "AlarmTopic=arn:aws:sns:us-east-1:123456789012:alarms\n"), "it takes the ARN of an SNS topic"),
        (("--parameter", "PermissionsBoundary=boundary"), "it takes the ARN of a policy, such as arn:aws:iam::"),
        (
            ("--parameter", "PermissionsBoundary=arn:aws:iam::123456789012:role/boundary"),
            "it takes the ARN of a policy",
        ),
        (("--parameter", "Architecture"), "'Architecture' has no name and value"),
        (("--parameter", "AlarmTopic=", "--parameter", "AlarmTopic=arn"), "'AlarmTopic' is given twice"),
        (("--tag", "=value"), "'=value' has no name and value"),
    ],
)
def test_what_no_stack_can_have_is_refused_before_anything_is_done(
    aws: EmbeddedAws, words: tuple[str, ...], said: str
) -> None:
    refused = deploy(*words, "--yes")
    assert refused.status == 2
    assert said in refused.error
    assert buckets(aws) == []


def test_a_name_that_is_too_long_is_refused_before_anything_is_done(aws: EmbeddedAws) -> None:
    refused = fedgrass("deploy", "cloud", "--stack", "c" * 37, "--json")
    assert (refused.status, refused.envelope["error"]["code"]) == (2, "invalid_stack_name")
    assert "at most 35 characters here" in refused.error
    assert not [name for name in aws.client("s3").list_buckets()["Buckets"] if name["Name"].startswith("ccc")]


def test_a_stack_of_something_else_is_neither_changed_nor_destroyed(aws: EmbeddedAws) -> None:
    cloudformation = aws.client("cloudformation")
    body = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'
    cloudformation.create_stack(StackName="others", TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="others", WaiterConfig={"Delay": 1})
    for command in (("deploy", "cloud"), ("destroy",)):
        refused = fedgrass(*command, "--stack", "others", "--yes")
        assert refused.status == 1
        assert "stack others is not one of fedgrass, it has Queue" in refused.error
    assert stacks.described(cloudformation, "others")
