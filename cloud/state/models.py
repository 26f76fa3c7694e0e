"""Models and updates in S3. A model is a new object, never an overwritten one; updates come by version."""

import hashlib
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from protocol.messages import ModelReference
from protocol.tensors import Header, header_length, parse_header

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


_MISSING = ("NoSuchKey", "NoSuchVersion", "404", "AccessDenied", "403")
"""Without leave to list the bucket, S3 says of an object that is not there that access is denied."""

_HEAD_BYTES = 65_536


class MissingObjectError(LookupError):
    """An object that should be in the bucket is not there."""


class TooLargeError(ValueError):
    """An object larger than what was asked for; its body was not read."""


class CorruptModelError(Exception):
    """A global model whose bytes are not the ones its reference names."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """An object's bytes, and the version they are of."""

    data: bytes
    version_id: str | None


class Models:
    """The bucket of one deployment."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def get(self, model: ModelReference) -> bytes:
        """A global model's bytes, checked.

        Raises:
            MissingObjectError: it isn't there.
            CorruptModelError: it is not what the reference says.
        """
        data = self.fetch(model.key).data
        if hashlib.sha256(data).hexdigest() != model.sha256:
            raise CorruptModelError(f"{model.key} in {self._bucket} does not have SHA-256 {model.sha256}")
        return data

    def fetch(self, key: str, *, version_id: str | None = None, at_most: int | None = None) -> Fetched:
        """An object's bytes, of one version or the newest.

        Raises:
            MissingObjectError: it isn't there.
            TooLargeError: it has more than `at_most` bytes.
        """
        try:
            if version_id is None:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            else:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                raise MissingObjectError(f"there is no {key} in bucket {self._bucket}") from error
            raise
        with answer["Body"] as body:
            if at_most is not None and answer["ContentLength"] > at_most:
                raise TooLargeError(f"{answer['ContentLength']} bytes; at most {at_most} are expected")
            return Fetched(data=body.read(), version_id=answer.get("VersionId"))

    def header(self, key: str) -> Header:
        """The header of a model, without its data.

        Raises:
            MissingObjectError: it isn't there.
            InvalidTensorsError: it is not a safetensors file.
        """
        first, total = self._range(key, _HEAD_BYTES)
        length = header_length(first)
        if length > len(first):
            first, total = self._range(key, length)
        return parse_header(first, total)

    def _range(self, key: str, length: int) -> tuple[bytes, int]:
        """The first bytes of an object, and how many it has in all."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{length - 1}")
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                raise MissingObjectError(f"there is no {key} in bucket {self._bucket}") from error
            raise
        return answer["Body"].read(), int(answer["ContentRange"].rpartition("/")[2])

    def put(self, key: str, data: bytes) -> ModelReference:
        """Write a model, and tell how to refer to it."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
        return ModelReference(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
