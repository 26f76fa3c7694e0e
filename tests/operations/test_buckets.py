"""operations/buckets.py, alone and in a deployment, on the embedded AWS: whose bytes become the functions' code."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from operations import buckets, deployment, packaging
from operations.deployment import Deployment
from operations.stack_steps import DeploymentError
from sandbox.embedded_aws import EmbeddedAws

LAYER = packaging.this_machine()
POISON = b"the code of a stranger"


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    """A client of its own, since tests look at its requests and answer them."""
    return aws.session().client("s3", endpoint_url=aws.endpoint)


@pytest.fixture
def account(aws: EmbeddedAws) -> str:
    return str(aws.client("sts").get_caller_identity()["Account"])


class _Nothing:
    def stream(self) -> Iterator[bytes]:
        return iter(())


def answer_with(s3: Any, wanted: Callable[[Any], bool], status: int, headers: dict[str, str] | None = None) -> None:
    """Have these requests answered so, without asking AWS."""

    def answer(request: Any, **_: Any) -> Any:
        if not wanted(request):
            return None
        given = HTTPHeaders()
        for name, value in (headers or {}).items():
            given[name] = value
        return AWSResponse(request.url, status, given, _Nothing())

    s3.meta.events.register("before-send.s3", answer)


def sha256_of(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def deploy(aws: EmbeddedAws, s3: Any, stack: str, code: bytes) -> Deployment:
    layer = packaging.dependencies(LAYER, packaging.cache_directory())
    return deployment.deploy(lambda name: s3 if name == "s3" else aws.client(name), stack, code, layer)


def test_a_deployment_takes_its_own_bytes_whatever_lies_under_their_names(
    aws: EmbeddedAws, deployed: Deployment, s3: Any, account: str
) -> None:
    code = packaging.code({"planted": b"# rules of ours\n"})
    layer = packaging.dependencies(LAYER, packaging.cache_directory()).read_bytes()
    bucket = f"fedgrass-code-{account}-us-east-1"
    keys = [
        f"{kind}/{hashlib.sha256(data).hexdigest()}.zip" for kind, data in (("code", code), ("dependencies", layer))
    ]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=POISON)
    owners = []
    s3.meta.events.register(
        "before-send.s3", lambda request, **_: owners.append(request.headers.get("x-amz-expected-bucket-owner"))
    )

    assert deploy(aws, s3, "fedgrass", code) == deployed
    assert owners
    assert set(owners) == {account.encode()}
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=POISON)

    assert deployment.deployed_policies(aws.client, "fedgrass") == {"planted": b"# rules of ours\n"}
    for function in (deployed.initiator, deployed.averager):
        running = aws.client("lambda").get_function_configuration(FunctionName=function)
        assert running["CodeSha256"] == sha256_of(code)
        (attached,) = running["Layers"]
        version = aws.client("lambda").get_layer_version_by_arn(Arn=attached["Arn"])
        assert version["Content"]["CodeSha256"] == sha256_of(layer)


def test_a_bucket_for_code_keeps_versions_and_is_closed(s3: Any, account: str) -> None:
    for _ in range(2):
        buckets.make_for_code(s3, "closed-code", account)
        assert s3.get_bucket_versioning(Bucket="closed-code")["Status"] == "Enabled"
        assert all(s3.get_public_access_block(Bucket="closed-code")["PublicAccessBlockConfiguration"].values())


def test_what_was_uploaded_is_read_by_its_version(s3: Any, account: str) -> None:
    buckets.make_for_code(s3, "read-code", account)
    stored = buckets.upload(s3, "read-code", account, "code/a.zip", b"ours")
    s3.put_object(Bucket="read-code", Key="code/a.zip", Body=POISON)
    assert buckets.read(s3, "read-code", account, stored.key, stored.version_id) == b"ours"
    assert buckets.upload(s3, "read-code", account, "code/a.zip", b"ours").version_id != stored.version_id


def test_what_is_there_already_is_not_uploaded_again(s3: Any, account: str) -> None:
    buckets.make_for_code(s3, "known-code", account)
    first = buckets.upload(s3, "known-code", account, "code/a.zip", b"ours")
    assert buckets.upload(s3, "known-code", account, "code/a.zip", b"ours") == first
    s3.delete_object(Bucket="known-code", Key="code/a.zip")
    assert buckets.upload(s3, "known-code", account, "code/a.zip", b"ours").version_id != first.version_id


def test_a_bucket_is_deleted_with_all_versions_and_what_was_begun_to_be_written(s3: Any, account: str) -> None:
    buckets.make_for_code(s3, "full-code", account)
    for number in range(3):
        s3.put_object(Bucket="full-code", Key=f"{number % 2}.zip", Body=str(number))
    s3.delete_object(Bucket="full-code", Key="0.zip")
    s3.create_multipart_upload(Bucket="full-code", Key="begun.zip")
    buckets.delete(s3, "full-code", account)
    assert not buckets.exists(s3, "full-code", account)


def test_a_strangers_bucket_is_not_emptied(s3: Any, account: str) -> None:
    answer_with(s3, lambda request: "/strange-code" in request.url, 403)
    with pytest.raises(DeploymentError, match="bucket strange-code is another account's"):
        buckets.delete(s3, "strange-code", account)


@pytest.mark.parametrize(
    ("method", "ending"),
    [("HEAD", "/foreign"), ("PUT", "?publicAccessBlock"), ("PUT", "?versioning"), ("PUT", ".zip"), ("HEAD", "e.zip")],
)
def test_a_bucket_that_is_a_strangers_from_some_call_on_is_named_and_refused(
    s3: Any, account: str, method: str, ending: str
) -> None:
    def is_it(request: Any) -> bool:
        path = request.url.partition("&")[0].partition("?versionId")[0]
        return bool(request.method == method and path.endswith(ending))

    answer_with(s3, is_it, 403)
    with pytest.raises(DeploymentError, match="bucket foreign is another account's"):
        buckets.make_for_code(s3, "foreign", account)
        buckets.upload(s3, "foreign", account, "code/e.zip", b"ours")


def test_a_bucket_that_a_stranger_makes_just_before_us_is_refused(s3: Any, account: str) -> None:
    def taken(error: Any, **_: Any) -> None:
        raise error

    taken_error = ClientError({"Error": {"Code": "BucketAlreadyExists"}}, "CreateBucket")
    s3.meta.events.register("before-call.s3.CreateBucket", lambda **_: taken(taken_error))
    with pytest.raises(DeploymentError, match=r"bucket raced is another account's.*CreateBucket was refused"):
        buckets.make_for_code(s3, "raced", account)


def test_bytes_that_arrive_as_others_are_refused(s3: Any, account: str) -> None:
    buckets.make_for_code(s3, "changed-code", account)
    answer_with(s3, lambda request: request.method == "HEAD", 200, {"x-amz-checksum-sha256": sha256_of(POISON)})
    with pytest.raises(DeploymentError, match=r"changed-code has code/a\.zip with SHA-256 .* deploy again"):
        buckets.upload(s3, "changed-code", account, "code/a.zip", b"ours")


def test_a_bucket_that_gives_no_versions_is_refused(s3: Any, account: str) -> None:
    answer_with(s3, lambda request: request.url.endswith("?versioning"), 200)
    buckets.make_for_code(s3, "unversioned-code", account)
    with pytest.raises(DeploymentError, match="unversioned-code gives what is written into it no version"):
        buckets.upload(s3, "unversioned-code", account, "code/a.zip", b"ours")
