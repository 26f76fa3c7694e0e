"""Buckets whose names can be guessed: so a stranger's may wait for what we put there, or have what we look for.

Every call names the account that has to own the bucket; S3 refuses it if another does.
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from botocore.exceptions import ClientError

from operations.pages import listed
from operations.stack_steps import DeploymentError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an object. No other bytes can have its id, in this bucket or in a later one of the same name."""

    bucket: str
    key: str
    version_id: str

    def url(self, s3: "S3Client") -> str:
        """Its address, for other services."""
        return f"{s3.meta.endpoint_url}/{self.bucket}/{self.key}?versionId={quote(self.version_id)}"


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
    region = s3.meta.region_name
    where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with _owned(bucket):
        if not exists(s3, bucket, account):
            s3.create_bucket(Bucket=bucket, **where)
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
    """The version of an object that is these bytes, by the checksum that S3 has of it: the newest one if it is, or else
    one that is written now.

    Raises:
        DeploymentError: another account has the bucket; or what it has then is not what was sent, or has no version.
    """
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    with _owned(bucket):
        newest = _head(s3, bucket, account, key)
        if newest.get("ChecksumSHA256") == checksum and newest.get("VersionId") not in (None, "null"):
            return Stored(bucket=bucket, key=key, version_id=newest["VersionId"])
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


def delete(s3: "S3Client", bucket: str, account: str) -> None:
    """Delete a bucket with all versions of all that is in it, and what was begun to be written.

    Raises:
        DeploymentError: another account has the bucket, or an object can't be deleted.
    """
    owned: Any = {"Bucket": bucket, "ExpectedBucketOwner": account}
    with _owned(bucket):
        for upload in listed(s3, "list_multipart_uploads", "Uploads", **owned):
            s3.abort_multipart_upload(**owned, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in s3.get_paginator("list_object_versions").paginate(**owned):
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects: Any = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
            if not objects:
                continue
            refused = s3.delete_objects(**owned, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
            if refused:
                first = refused[0]
                raise DeploymentError(
                    f"bucket {bucket} can't be emptied: {first.get('Key')}: {first.get('Code')} {first.get('Message')}"
                )
        s3.delete_bucket(**owned)


def _head(s3: "S3Client", bucket: str, account: str, key: str) -> Any:
    try:
        return s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return {}
        raise


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
