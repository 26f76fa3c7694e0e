"""Puts template.yaml and the functions' packages into an AWS account, or into the embedded AWS: there is no difference.

boto3 clients are passed in.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from operations import buckets, packaging, stacks
from operations import outlived_tables as tables
from operations.stacks import DeploymentError, Outlived

TEMPLATE = Path(__file__).parent.parent / "cloud" / "template.yaml"


class NoStackError(Exception):
    """There is no stack of this name, or it is none that fedgrass can work with."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed stack: its outputs, by the names that template.yaml gives them."""

    stack: str
    bucket: str
    federations_table: str
    clients_table: str
    rounds_table: str
    responses_table: str
    rounds_queue: str
    control_queue: str
    updates_queue: str
    shards_queue: str
    initiator: str
    averager: str
    device_policy_arn: str
    device_iot_policy_name: str


KEPT = (
    "AlarmTopic",
    "LogRetentionDays",
    "RefusalsAllowed",
    "BucketBytesAllowed",
    "InitiatorConcurrency",
    "AveragerConcurrency",
)
"""Parameters that stay as an earlier deployment, or someone in CloudFormation, has set them."""


_LONGEST_BUCKET = 63  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html

TABLES = ("FederationsTable", "ClientsTable", "RoundsTable", "ResponsesTable")
"""What of the template outlives its stack, beside the bucket."""


def deploy(
    client: Callable[[str], Any],
    stack: str,
    code: bytes,
    dependencies: Path,
    update_retention_days: int = 30,
    alarm_topic: str | None = None,
    template: str | None = None,
) -> Deployment:
    """Make the stack, or bring it up to date. `client` gives a boto3 client by its service's name; alarms go to
    `alarm_topic` from now on, None leaves that as it is. `template` takes the place of cloud/template.yaml. The bucket
    and the tables that an earlier stack of this name has left are taken over, with the models and the federations in
    them.

    Raises:
        DeploymentError: no bucket can be named after the stack, CloudFormation refused, a bucket is another account's,
            or there is more than one left of a table.
    """
    s3, account = client("s3"), client("sts").get_caller_identity()["Account"]
    code_bucket = f"{stack}-code-{account}-{s3.meta.region_name}"
    if len(code_bucket) > _LONGEST_BUCKET or stack != stack.lower():
        room = _LONGEST_BUCKET - (len(code_bucket) - len(stack))
        raise DeploymentError(
            f"a stack {stack!r} can't be made: the bucket {code_bucket} is named after it, so it may have a-z, 0-9 and "
            f"'-' only, and at most {room} characters here"
        )
    buckets.make_for_code(s3, code_bucket, account)
    functions, layer = (
        buckets.upload(s3, code_bucket, account, f"{kind}/{hashlib.sha256(data).hexdigest()}.zip", data)
        for kind, data in (("code", code), ("dependencies", dependencies.read_bytes()))
    )
    parameters = {
        "CodeBucket": code_bucket,
        "CodeKey": functions.key,
        "CodeVersion": functions.version_id,
        "DependenciesKey": layer.key,
        "DependenciesVersion": layer.version_id,
        "UpdateRetentionDays": str(update_retention_days),
    }
    if alarm_topic is not None:
        parameters["AlarmTopic"] = alarm_topic
    bucket = f"{stack}-{account}-{s3.meta.region_name}"  # as the template names it
    is_bucket_there = buckets.exists(s3, bucket, account)

    def outlived() -> list[Outlived]:
        left = tables.outlived(client("dynamodb"), stack, TABLES)
        if is_bucket_there:
            name = {"BucketName": bucket}
            left.append(Outlived(logical_id="Bucket", kind="AWS::S3::Bucket", identifier=name, properties=name))
        return left

    stacks.apply(client("cloudformation"), stack, template or TEMPLATE.read_text(), parameters, KEPT, outlived)
    return find(client, stack)


def deployed_policies(client: Callable[[str], Any], stack: str) -> dict[str, bytes]:
    """Federation -> the policies.py that the functions have now; empty if nothing is deployed."""
    description = stacks.described(client("cloudformation"), stack)
    if description is None:
        return {}
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in description.get("Parameters", [])}
    if "CodeKey" not in parameters:  # it was cut off when it had taken over its bucket, and nothing else
        return {}
    account = client("sts").get_caller_identity()["Account"]
    # A stack that an older fedgrass has made names no version.
    code = buckets.read(
        client("s3"), parameters["CodeBucket"], account, parameters["CodeKey"], parameters.get("CodeVersion")
    )
    return packaging.policies_in(code)


def find(client: Callable[[str], Any], stack: str) -> Deployment:
    """A stack that is deployed.

    Raises:
        NoStackError: there is none of this name.
    """
    cloudformation = client("cloudformation")
    description = stacks.described(cloudformation, stack)
    if description is None:
        raise NoStackError(
            f"there is no stack {stack!r} in {cloudformation.meta.region_name}: make it with `fedgrass deploy`, or "
            "name another one by --stack, another Region by AWS_DEFAULT_REGION"
        )
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
    fields = msgspec.structs.fields(Deployment)[1:]
    missing = [field.name for field in fields if _output_of(field.name) not in outputs]
    if missing:
        raise NoStackError(
            f"stack {stack!r} is not one of fedgrass, or an older one: it has no {', '.join(missing)}; "
            "`fedgrass deploy` brings an older one up to date"
        )
    return Deployment(stack=stack, **{field.name: outputs[_output_of(field.name)] for field in fields})


def _output_of(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))
