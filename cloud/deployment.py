"""Puts template.yaml and the functions' packages into an AWS account, or into the embedded AWS: there is no difference.

boto3 clients are passed in.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import ClientError, WaiterError

from cloud import package

TEMPLATE = Path(__file__).with_name("template.yaml")
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class DeploymentError(Exception):
    """The stack could not be made or changed; the text has CloudFormation's reasons."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed stack: its outputs, by the names that template.yaml gives them."""

    stack: str
    bucket: str
    federations_table: str
    clients_table: str
    rounds_table: str
    responses_table: str
    rounds_queue: str
    updates_queue: str
    shards_queue: str
    initiator: str
    averager: str
    device_policy_arn: str
    device_iot_policy_name: str


def deploy(
    client: Callable[[str], Any], stack: str, code: bytes, dependencies: Path, update_retention_days: int = 30
) -> Deployment:
    """Make the stack, or bring it up to date. `client` gives a boto3 client by its service's name.

    Raises:
        DeploymentError: CloudFormation refused.
    """
    bucket = _code_bucket(client, stack)
    parameters = {
        "CodeBucket": bucket,
        "CodeKey": _upload(client("s3"), bucket, "code", code),
        "UpdateRetentionDays": str(update_retention_days),
        "DependenciesKey": _upload(client("s3"), bucket, "dependencies", dependencies.read_bytes()),
    }
    cloudformation = client("cloudformation")
    arguments: dict[str, Any] = {
        "StackName": stack,
        "TemplateBody": TEMPLATE.read_text(),
        "Capabilities": _CAPABILITIES,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    }
    try:
        cloudformation.create_stack(**arguments)
        waiter = cloudformation.get_waiter("stack_create_complete")
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**arguments)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise DeploymentError(f"stack {stack} can't be updated: {error}") from error
            return find(client, stack)
        waiter = cloudformation.get_waiter("stack_update_complete")
    except ClientError as error:
        raise DeploymentError(f"stack {stack} can't be made: {error}") from error
    try:
        waiter.wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 900})
    except WaiterError as error:
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [e for e in events if e["ResourceStatus"].endswith("FAILED")]
        reasons = "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in failed)
        raise DeploymentError(f"stack {stack} could not be made: {reasons or error}") from error
    return find(client, stack)


def deployed_policies(client: Callable[[str], Any], stack: str) -> dict[str, bytes]:
    """Federation -> the policies.py that the functions have now; empty if nothing is deployed."""
    try:
        description = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError:
        return {}
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in description.get("Parameters", [])}
    answer = client("s3").get_object(Bucket=parameters["CodeBucket"], Key=parameters["CodeKey"])
    return package.policies_in(answer["Body"].read())


def find(client: Callable[[str], Any], stack: str) -> Deployment:
    """A stack that is deployed.

    Raises:
        DeploymentError: there is none of this name.
    """
    try:
        description = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        raise DeploymentError(f"there is no stack {stack!r}: make it with `fedgrass deploy` ({error})") from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
    fields = msgspec.structs.fields(Deployment)[1:]
    missing = [field.name for field in fields if _output_of(field.name) not in outputs]
    if missing:
        raise DeploymentError(f"stack {stack!r} is not one of fedgrass: it has no {', '.join(missing)}")
    return Deployment(stack=stack, **{field.name: outputs[_output_of(field.name)] for field in fields})


def _output_of(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))


def _code_bucket(client: Callable[[str], Any], stack: str) -> str:
    s3 = client("s3")
    account = client("sts").get_caller_identity()["Account"]
    region = s3.meta.region_name
    bucket = f"{stack}-code-{account}-{region}"
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **location)
    return bucket


def _upload(s3: Any, bucket: str, kind: str, data: bytes) -> str:
    key = f"{kind}/{hashlib.sha256(data).hexdigest()}.zip"
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        s3.put_object(Bucket=bucket, Key=key, Body=data)
    return key
