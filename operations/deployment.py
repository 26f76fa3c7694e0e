"""Puts template.yaml and the functions' packages into an AWS account, or into the embedded AWS: there is no difference.

boto3 clients are passed in.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from operations import buckets, packaging, stacks
from operations import outlived_tables as tables
from operations.concurrency import for_account
from operations.stack_names import StackNames, names_of
from operations.stack_steps import DeploymentError, Step
from operations.stacks import Outlived

_log = logging.getLogger(__name__)

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


SETTABLE = (
    "Architecture",
    "UpdateRetentionDays",
    "AlarmTopic",
    "LogRetentionDays",
    "RefusalsAllowed",
    "BucketBytesAllowed",
    "WithDashboard",
    "InitiatorConcurrency",
    "AveragerConcurrency",
    "InitiatorMemory",
    "AveragerMemory",
    "PermissionsBoundary",
)
"""Parameters that an operator sets; they stay as they are until they are set again, here or in CloudFormation."""

TABLES = ("FederationsTable", "ClientsTable", "RoundsTable", "ResponsesTable")
OUTLIVES = ("Bucket", *TABLES)
"""What of the template outlives its stack."""

_LARGEST_TEMPLATE_BODY = 51_200  # bytes; a larger one has to lie in S3


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """What the functions are made of: their code, and a layer with what it imports."""

    code: bytes
    dependencies: Path


def deploy(
    client: Callable[[str], Any],
    stack: str,
    code: bytes,
    dependencies: Path,
    parameters: Mapping[str, str] | None = None,
    template: str | None = None,
) -> Deployment:
    """Take all `steps`, and ask nobody.

    Raises:
        UnusableStackNameError, DeploymentError: as `steps`.
    """
    packages = Packages(code=code, dependencies=dependencies)
    for step in steps(client, stack, packages, parameters or {}, template=template):
        _log.info("%s", step.what)
        step.carry_out(lambda _: None)
    return find(client, stack)


def steps(
    client: Callable[[str], Any],
    stack: str,
    packages: Packages,
    parameters: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
    template: str | None = None,
) -> Iterator[Step]:
    """What makes the stack, or brings it up to date; none if it is so already. `client` gives a boto3 client by its
    service's name; `parameters` are of `SETTABLE`. `template` takes the place of cloud/template.yaml. The bucket and
    the tables that an earlier stack of this name has left are taken over, with the models and the federations in
    them. The packages are uploaded before the first step is worked out.

    Raises:
        UnusableStackNameError: no bucket can be named after the stack.
        DeploymentError: CloudFormation refused, a bucket is another account's, or there is more than one left of a
            table.
    """
    names = names_of(client, stack)
    s3, cloudformation = client("s3"), client("cloudformation")
    buckets.make_for_code(s3, names.code_bucket, names.account)

    def upload(kind: str, ending: str, data: bytes) -> buckets.Stored:
        key = f"{kind}/{hashlib.sha256(data).hexdigest()}.{ending}"
        return buckets.upload(s3, names.code_bucket, names.account, key, data)

    code = upload("code", "zip", packages.code)
    layer = upload("dependencies", "zip", packages.dependencies.read_bytes())
    body = (template or TEMPLATE.read_text()).encode()
    given = {"TemplateBody": body.decode()}
    if len(body) > _LARGEST_TEMPLATE_BODY:
        given = {"TemplateURL": upload("templates", "yaml", body).url(s3)}
    concurrency = for_account(client("lambda"), parameters, _present(cloudformation, stack))
    wanted = stacks.Wanted(
        template=given,
        parameters={
            "CodeBucket": names.code_bucket,
            "CodeKey": code.key,
            "CodeVersion": code.version_id,
            "DependenciesKey": layer.key,
            "DependenciesVersion": layer.version_id,
            **parameters,
            **concurrency.parameters,
        },
        kept=SETTABLE,
        tags=tags or {},
        note=concurrency.note,
        own=OUTLIVES,
    )
    return stacks.steps(cloudformation, stack, wanted, lambda: outlived(client, names))


def outlived(client: Callable[[str], Any], names: StackNames) -> list[Outlived]:
    """What an earlier stack of these names has left."""
    left = tables.outlived(client("dynamodb"), names.stack, TABLES)
    if buckets.exists(client("s3"), names.bucket, names.account):
        name = {"BucketName": names.bucket}
        left.append(Outlived(logical_id="Bucket", kind="AWS::S3::Bucket", identifier=name, properties=name))
    return left


def architecture(client: Callable[[str], Any], stack: str) -> str:
    """Of the functions of a stack, or of those that it will have if it is not told otherwise."""
    return _present(client("cloudformation"), stack).get("Architecture", packaging.ARCHITECTURES[0])


def _present(cloudformation: Any, stack: str) -> dict[str, str]:
    description: Any = stacks.described(cloudformation, stack) or {}
    return {p["ParameterKey"]: p["ParameterValue"] for p in description.get("Parameters", [])}


def deployed_policies(client: Callable[[str], Any], stack: str) -> dict[str, bytes]:
    """Federation -> the policies.py that the functions have now; empty if nothing is deployed.

    Raises:
        DeploymentError: their package is gone, or another account has its bucket.
    """
    parameters = _present(client("cloudformation"), stack)
    if "CodeKey" not in parameters:  # no stack; or it was cut off when it had taken over its bucket, and nothing else
        return {}
    account = client("sts").get_caller_identity()["Account"]
    # A stack that an older fedgrass has made names no version.
    bucket, key = parameters["CodeBucket"], parameters["CodeKey"]
    try:
        code = buckets.read(client("s3"), bucket, account, key, parameters.get("CodeVersion"))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchBucket", "NoSuchKey", "NoSuchVersion"):
            raise
        raise DeploymentError(
            f"{key} in bucket {bucket} is gone, which the functions of stack {stack} were made of: `fedgrass destroy` "
            "and then `fedgrass deploy cloud`, with the folders that have a policies.py, make all but the models anew"
        ) from error
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
            f"there is no stack {stack!r} in {cloudformation.meta.region_name}: make it with `fedgrass deploy cloud`, "
            "or name another one by --stack, another Region by AWS_DEFAULT_REGION"
        )
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
    fields = msgspec.structs.fields(Deployment)[1:]
    missing = [field.name for field in fields if _output_of(field.name) not in outputs]
    if missing:
        raise NoStackError(
            f"stack {stack!r} is not one of fedgrass, or an older one: it has no {', '.join(missing)}; "
            "`fedgrass deploy cloud` brings an older one up to date"
        )
    return Deployment(stack=stack, **{field.name: outputs[_output_of(field.name)] for field in fields})


def _output_of(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))
