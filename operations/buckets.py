"""Buckets whose names can be guessed: so a stranger's may wait for what we put there, or have what we look for.

Every call names the account that has to own the bucket; S3 refuses it if another does.
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from operations.stacks import DeploymentError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an object. No other bytes can have its id, in this bucket or in a later one of the same name."""

    bucket: str
    key: str
    version_id: str


def exists(s3: "S3Client", bucket: str, account: str) -> bool:
    """Whether the account has this bucket.

    Raises:
        DeploymentError: another account has it.
    """
    with _owned(bucket):
        try:
            s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
                return False
            raise
    return True


def make_for_code(s3: "S3Client", bucket: str, account: str) -> None:
    """Make a bucket that keeps every version, and shows none to the public; or see to it that an old one does.

    Raises:
        DeploymentError: another account has it.
    """
    region: Any = s3.meta.region_name
    if not exists(s3, bucket, account):
        with _owned(bucket):
            if region == "us-east-1":
                s3.create_bucket(Bucket=bucket)
            else:
                s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    with _owned(bucket):
        s3.put_public_access_block(
            Bucket=bucket,
            ExpectedBucketOwner=account,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        )
        s3.put_bucket_versioning(
            Bucket=bucket, ExpectedBucketOwner=account, VersioningConfiguration={"Status": "Enabled"}
        )


def upload(s3: "S3Client", bucket: str, account: str, key: str, data: bytes) -> Stored:
    """Write an object, whatever is there already, and see that its new version is these bytes.

    Raises:
        DeploymentError: another account has the bucket; or what it has then is not what was sent, or has no version.
    """
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    with _owned(bucket):
        written = s3.put_object(
            Bucket=bucket, Key=key, Body=data, ChecksumSHA256=checksum, ExpectedBucketOwner=account
        ).get("VersionId")
        if written in (None, "null"):
            raise DeploymentError(
                f"bucket {bucket} gives what is written into it no version: S3 needs some minutes to make a bucket "
                "versioned; deploy again then"
            )
        there = s3.head_object(
            Bucket=bucket, Key=key, VersionId=written, ChecksumMode="ENABLED", ExpectedBucketOwner=account
        ).get("ChecksumSHA256")
    if there != checksum:
        raise DeploymentError(
            f"bucket {bucket} has {key} with SHA-256 {there}, and {checksum} was sent (both in base64): deploy again"
        )
    return Stored(bucket=bucket, key=key, version_id=written)


def read(s3: "S3Client", bucket: str, account: str, key: str, version_id: str | None) -> bytes:
    """The bytes of one version of an object; of the newest for a stack that names none.

    Raises:
        DeploymentError: another account has the bucket.
    """
    version: Any = {} if version_id is None else {"VersionId": version_id}
    with _owned(bucket):
        return s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account, **version)["Body"].read()


@contextmanager
def _owned(bucket: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("403", "AccessDenied", "BucketAlreadyExists"):
            raise DeploymentError(
                f"bucket {bucket} is another account's, or your credentials may not use it "
                f"({error.operation_name} was refused): take another name for the stack, or mend the credentials"
            ) from error
        raise
