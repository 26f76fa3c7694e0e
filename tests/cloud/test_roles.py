"""What the deployed roles may do, asked of IAM: what they need, and nothing that a mistake in one could spoil."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from operations import aws_sessions
from operations.deployment import Deployment
from protocol import names
from sandbox.embedded_aws import EmbeddedAws

MODEL, UPDATE = names.model_key("f", 1, "0a1b2c3d"), names.update_key("f", 1, "thing", "0a1b2c3d")


def arns(deployed: Deployment) -> dict[str, str]:
    """What the cases below speak of, by the name they give it."""
    account = deployed.device_policy_arn.split(":")[4]

    def queue(url: str) -> str:
        return f"arn:aws:sqs:us-east-1:{account}:{url.rpartition('/')[2]}"

    def table(name: str) -> str:
        return f"arn:aws:dynamodb:us-east-1:{account}:table/{name}"

    return {
        "a model": f"arn:aws:s3:::{deployed.bucket}/{MODEL}",
        "an update": f"arn:aws:s3:::{deployed.bucket}/{UPDATE}",
        "an update of an earlier version": f"arn:aws:s3:::{deployed.bucket}/{names.former_update_key('f', 1, 'thing')}",
        "another bucket": f"arn:aws:s3:::another/{MODEL}",
        "federations": table(deployed.federations_table),
        "clients": table(deployed.clients_table),
        "the order of clients": f"{table(deployed.clients_table)}/index/by-place",
        "rounds": table(deployed.rounds_table),
        "responses": table(deployed.responses_table),
        "another table": table("another"),
        "the rounds queue": queue(deployed.rounds_queue),
        "the control queue": queue(deployed.control_queue),
        "the updates queue": queue(deployed.updates_queue),
        "the hello queue": queue(f"{deployed.stack}-hello"),
        "another queue": queue("another"),
        "a shadow": f"arn:aws:iot:us-east-1:{account}:thing/thing/{names.shadow_name('f')}",
        "a shadow of something else": f"arn:aws:iot:us-east-1:{account}:thing/thing/locks",
        "a classic shadow": f"arn:aws:iot:us-east-1:{account}:thing/thing",
        "a thing": f"arn:aws:iot:us-east-1:{account}:thing/thing",
        "a group": f"arn:aws:iot:us-east-1:{account}:thinggroup/group",
        "the round topic": f"arn:aws:iot:us-east-1:{account}:topic/{names.round_topic('f')}",
        "the hello topic": f"arn:aws:iot:us-east-1:{account}:topic/{names.hello_topic('f', 'thing')}",
        "a role": f"arn:aws:iam::{account}:role/any",
    }


def role_of(aws: EmbeddedAws, function: str) -> str:
    return str(aws.client("lambda").get_function_configuration(FunctionName=function)["Role"])


def is_allowed(aws: EmbeddedAws, role: str, action: str, resource: str) -> bool:
    answer = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
    )
    decision: Any = answer["EvaluationResults"][0]["EvalDecision"]
    return bool(decision == "allowed")


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", "a model", True),
        ("s3:GetObject", "an update", True),
        ("s3:GetObjectVersion", "an update", True),
        ("s3:PutObject", "a model", True),
        ("s3:PutObject", "an update", False),
        ("s3:PutObject", "another bucket", False),
        ("s3:GetObject", "another bucket", False),
        ("s3:DeleteObject", "a model", False),
        ("s3:DeleteObjectVersion", "an update", True),
        ("s3:DeleteObject", "an update", False),
        ("s3:DeleteObjectVersion", "a model", False),
        ("s3:GetObjectVersion", "an update of an earlier version", True),
        ("s3:DeleteObjectVersion", "an update of an earlier version", False),
        ("dynamodb:UpdateItem", "rounds", True),
        ("dynamodb:DeleteItem", "rounds", False),
        ("dynamodb:DeleteItem", "responses", False),
        ("dynamodb:PutItem", "federations", False),
        ("dynamodb:DeleteTable", "rounds", False),
        ("dynamodb:GetItem", "another table", False),
        ("sqs:SendMessage", "the rounds queue", True),
        ("sqs:SendMessage", "another queue", False),
        ("sqs:ReceiveMessage", "the rounds queue", False),
        ("sqs:ReceiveMessage", "the updates queue", True),
        ("sqs:SendMessage", "the updates queue", True),
        ("sqs:ReceiveMessage", "the control queue", True),
        ("sqs:SendMessage", "the control queue", True),
        ("sqs:SendMessage", "the hello queue", False),
        ("iot:UpdateThingShadow", "a shadow", True),
        ("iot:UpdateThingShadow", "a shadow of something else", False),
        ("iot:UpdateThingShadow", "a classic shadow", False),
        ("iot:ListThingsInThingGroup", "a group", True),
        ("iot:ListThingGroupsForThing", "a thing", False),
        ("iot:Publish", "the round topic", True),
        ("iot:Publish", "the hello topic", False),
        ("iam:PassRole", "a role", False),
        ("sts:AssumeRole", "a role", False),
    ],
)
def test_the_averager(aws: EmbeddedAws, deployed: Deployment, action: str, resource: str, allowed: bool) -> None:
    assert is_allowed(aws, role_of(aws, deployed.averager), action, arns(deployed)[resource]) is allowed


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", "a model", False),
        ("s3:GetObject", "an update", False),
        ("s3:PutObject", "a model", False),
        ("s3:PutObject", "an update", False),
        ("dynamodb:Query", "clients", True),
        ("dynamodb:Query", "the order of clients", True),
        ("dynamodb:BatchGetItem", "clients", True),
        ("dynamodb:PutItem", "rounds", True),
        ("dynamodb:DeleteItem", "clients", False),
        ("dynamodb:PutItem", "federations", False),
        ("dynamodb:PutItem", "responses", True),
        ("dynamodb:Query", "responses", True),
        ("dynamodb:UpdateItem", "responses", False),
        ("dynamodb:Query", "another table", False),
        ("sqs:ReceiveMessage", "the rounds queue", True),
        ("sqs:ReceiveMessage", "the hello queue", True),
        ("sqs:ReceiveMessage", "the updates queue", False),
        ("sqs:SendMessage", "the rounds queue", True),
        ("sqs:SendMessage", "the control queue", True),
        ("sqs:SendMessage", "the updates queue", False),
        ("sqs:ReceiveMessage", "the control queue", False),
        ("iot:UpdateThingShadow", "a shadow", True),
        ("iot:UpdateThingShadow", "a shadow of something else", False),
        ("iot:UpdateThingShadow", "a classic shadow", False),
        ("iot:GetThingShadow", "a shadow", False),
        ("iot:ListThingGroupsForThing", "a thing", True),
        ("iot:ListThingsInThingGroup", "a group", True),
        ("iot:AddThingToThingGroup", "a thing", False),
        ("iot:DeleteThing", "a thing", False),
        ("iot:Publish", "the round topic", True),
        ("iot:Publish", "the hello topic", False),
    ],
)
def test_the_initiator(aws: EmbeddedAws, deployed: Deployment, action: str, resource: str, allowed: bool) -> None:
    assert is_allowed(aws, role_of(aws, deployed.initiator), action, arns(deployed)[resource]) is allowed


@pytest.mark.parametrize("function", ["initiator", "averager"])
def test_a_function_writes_the_shadows_of_fedgrass_only(aws: EmbeddedAws, deployed: Deployment, function: str) -> None:
    role = role_of(aws, getattr(deployed, function))
    data = session_as(aws, role).client("iot-data", endpoint_url=aws.endpoint)
    aws.client("iot").create_thing(thingName="of-shadows")
    payload = b'{"state": {"desired": {"open": true}}}'
    data.update_thing_shadow(thingName="of-shadows", shadowName=names.shadow_name("f"), payload=payload)
    for other in ({}, {"shadowName": "locks"}, {"shadowName": "not-fedgrass-f"}):
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden|Unauthorized"):
            data.update_thing_shadow(thingName="of-shadows", payload=payload, **other)


def test_what_iam_answers_is_what_happens(aws: EmbeddedAws, deployed: Deployment) -> None:
    s3 = bucket_of(aws, role_of(aws, deployed.averager))
    s3.put_object(Bucket=deployed.bucket, Key=MODEL, Body=b"1", IfNoneMatch="*")
    assert s3.get_object(Bucket=deployed.bucket, Key=MODEL)["Body"].read() == b"1"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=deployed.bucket, Key=UPDATE, Body=b"1")
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket_of(aws, role_of(aws, deployed.initiator)).get_object(Bucket=deployed.bucket, Key=MODEL)


@pytest.mark.parametrize(
    "key", [names.model_key, names.optimizer_key, names.last_updates_key, names.ema_key, names.bfloat16_key]
)
def test_the_averager_cannot_replace_what_is_finished(
    aws: EmbeddedAws, deployed: Deployment, key: Callable[[str, int, str], str]
) -> None:
    finished = key("finished", 1, "0a1b2c3d")
    s3 = bucket_of(aws, role_of(aws, deployed.averager))
    s3.put_object(Bucket=deployed.bucket, Key=finished, Body=b"ours", IfNoneMatch="*")
    for condition, refusal in (({}, "AccessDenied"), ({"IfNoneMatch": "*"}, "PreconditionFailed")):
        with pytest.raises(ClientError, match=refusal):
            s3.put_object(Bucket=deployed.bucket, Key=finished, Body=b"other", **condition)
        upload = {"Bucket": deployed.bucket, "Key": finished}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        etag = s3.upload_part(**upload, PartNumber=1, Body=b"other")["ETag"]
        with pytest.raises(ClientError, match=refusal):
            parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            s3.complete_multipart_upload(**upload, MultipartUpload=parts, **condition)
        s3.abort_multipart_upload(**upload)
    assert s3.get_object(Bucket=deployed.bucket, Key=finished)["Body"].read() == b"ours"


def bucket_of(aws: EmbeddedAws, role: str) -> Any:
    """S3 as a role sees it."""
    return session_as(aws, role).client("s3", endpoint_url=aws.endpoint)


def session_as(aws: EmbeddedAws, role: str) -> boto3.Session:
    credentials = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test-of-roles")["Credentials"]
    return aws_sessions.session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=aws.region,
    )
