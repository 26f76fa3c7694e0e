"""Models and updates in S3. A model is a new object, never an overwritten one; updates come by version."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from cloud.state.object_cache import CACHE_BYTES, ObjectCache
from protocol import names
from protocol.messages import ModelReference

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from protocol.tensors import Header


_MISSING = ("NoSuchKey", "NoSuchVersion", "404", "AccessDenied", "403")
"""Without leave to list the bucket, S3 says of an object that is not there that access is denied."""

_NOT_OF_THE_OBJECT = (
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
)
"""What S3 answers when it is the caller, or the line: it may be another answer next time. All that it calls throttling
has one of these words in its name, or status 429 or 5xx."""
_THROTTLING = ("Throttl", "SlowDown", "LimitExceeded", "TooManyRequests")

_HEAD_BYTES = 65_536


class MissingObjectError(LookupError):
    """An object that should be in the bucket is not there."""


class UnreadableObjectError(MissingObjectError):
    """An object that is there, and can't be read, whoever asks however often: it lies in an archive, or is encrypted
    with a key that only its writer has."""


class TooLargeError(ValueError):
    """An object larger than what was asked for; its body was not read."""


class MissingUploadError(LookupError):
    """A multipart upload that is over, or never was."""


class CorruptModelError(Exception):
    """A global model whose bytes are not the ones its reference names."""


class OtherModelError(Exception):
    """There is an object under this name already, with other bytes: it stays as it is."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """An object's bytes, and the version they are of."""

    data: bytes
    version_id: str | None


class Models:
    """The bucket of one deployment."""

    def __init__(self, s3: "S3Client", bucket: str, cache_bytes: int = CACHE_BYTES) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._cache = ObjectCache(cache_bytes)

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
            UnreadableObjectError: S3 can't read it.
            TooLargeError: it has more than `at_most` bytes.
        """
        answer = self._get(key, version_id)
        with answer["Body"] as body:
            if at_most is not None and answer["ContentLength"] > at_most:
                raise TooLargeError(f"{answer['ContentLength']} bytes; at most {at_most} are expected")
            return Fetched(data=body.read(), version_id=answer.get("VersionId"))

    def cache(self, key: str, fetched: Fetched) -> None:
        """Keep what was fetched in memory, until what is cached after it displaces it."""
        if fetched.version_id is not None:
            self._cache.add(key, fetched.version_id, fetched.data)

    def cached(self, key: str, version_id: str | None) -> bytes | None:
        """This version of an object, if it is cached."""
        return None if version_id is None else self._cache.get(key, version_id)

    def cache_model(self, model: ModelReference, data: bytes) -> None:
        """As `cache`, for a model and `beginning`."""
        self._cache.add(model.key, model.sha256, data)

    def beginning(self, model: ModelReference, size: int) -> bytes:
        """The first bytes of a model: all of it if it is cached, else `size`, or fewer if it has no more.

        Raises:
            MissingObjectError: it isn't there.
        """
        cached = self._cache.get(model.key, model.sha256)
        return self.range(model.key, 0, min(model.bytes, size)) if cached is None else cached

    def range(self, key: str, start: int, end: int, *, version_id: str | None = None) -> bytes:
        """Bytes `start` to `end` of an object, fewer if it ends before; not none.

        Raises:
            MissingObjectError: it isn't there.
        """
        answer = self._get(key, version_id, Range=f"bytes={start}-{end - 1}")
        with answer["Body"] as body:
            data: bytes = body.read()
        return data if "ContentRange" in answer else data[start:end]  # a server may ignore that a range was asked for

    def header(self, key: str) -> "Header":
        """The header of a model, without its data.

        Raises:
            MissingObjectError: it isn't there.
            InvalidTensorsError: it is not a safetensors file.
        """
        from protocol.tensors import header_length, parse_header  # and numpy, which most who read the bucket do without

        answer = self._get(key, None, Range=f"bytes=0-{_HEAD_BYTES - 1}")
        first, total = answer["Body"].read(), int(answer["ContentRange"].rpartition("/")[2])
        length = header_length(first)
        return parse_header(first if length <= len(first) else self.range(key, 0, length), total)

    def _get(self, key: str, version_id: str | None, **arguments: Any) -> Any:
        if version_id is not None:
            arguments["VersionId"] = version_id
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                raise MissingObjectError(f"there is no {key} in bucket {self._bucket} that may be read") from error
            if _is_of_the_object(error):
                raise UnreadableObjectError(f"{key} in bucket {self._bucket} can't be read: {error}") from error
            raise

    def delete(self, key: str, version_id: str) -> None:
        """Delete one version of an object for good. If it is gone, nothing happens."""
        self._s3.delete_object(Bucket=self._bucket, Key=key, VersionId=version_id)

    def put_new(self, key: str, data: bytes) -> ModelReference:
        """Write a model, and tell how to refer to it. If it has been written already, nothing happens.

        Raises:
            OtherModelError: another one has this name.
        """
        written = ModelReference(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        try:
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            if hashlib.sha256(self.fetch(key).data).hexdigest() != written.sha256:
                raise self._other(key) from error
        return written

    def put_partial(self, key: str, data: bytes) -> None:
        """Write an object that is an intermediate result: it expires as updates do."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, Tagging=names.EXPIRING_TAG)

    # ---- Objects that are written in parts, by one invocation or by several

    def begin(self, key: str) -> str:
        """Begin a multipart upload; returns its id."""
        return self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        """Write the part of a number from 0 on; writing it again replaces it.

        Raises:
            MissingUploadError: the upload has been completed or given up.
        """
        with _upload_of(key):
            self._s3.upload_part(Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number + 1, Body=data)

    def complete(self, key: str, upload: str) -> None:
        """Make the object of the parts that were written. If it is made of the same parts already, nothing happens.

        Raises:
            MissingUploadError: the upload is over, and there is no such object.
            OtherModelError: another one has this name.
        """
        try:
            with _upload_of(key):
                pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
                parts: Any = [
                    {"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for page in pages for part in page["Parts"]
                ]
                try:
                    self._s3.complete_multipart_upload(
                        Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != "PreconditionFailed":
                        raise
                    there = self._s3.head_object(Bucket=self._bucket, Key=key)["ETag"]
                    if there.strip('"') != _etag_of([part["ETag"] for part in parts]):
                        raise self._other(key) from error
        except MissingUploadError as over:
            try:
                self.range(key, 0, 1)
            except MissingObjectError:
                raise over from None

    def _other(self, key: str) -> OtherModelError:
        return OtherModelError(
            f"{key} in bucket {self._bucket} is there already, with other bytes: it is left as it is"
        )

    def give_up(self, key: str) -> None:
        """Abort the multipart uploads of an object that are still under way. Those of other objects, whose keys begin
        with its own, are left alone."""
        pages = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=key)
        for upload in (upload for page in pages for upload in page.get("Uploads", []) if upload["Key"] == key):
            with suppress(MissingUploadError), _upload_of(key):
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload["UploadId"])


def _is_of_the_object(error: ClientError) -> bool:
    code, status = error.response["Error"]["Code"], error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    passes = code in _NOT_OF_THE_OBJECT or any(word in code for word in _THROTTLING) or status in (408, 429)
    return 400 <= status < 500 and not passes


def _etag_of(parts: list[str]) -> str:
    """What S3 calls an object that was uploaded in parts (Amazon S3 User Guide, "Checking object integrity")."""
    digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


@contextmanager
def _upload_of(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchUpload":
            raise MissingUploadError(f"the multipart upload of {key} is over") from error
        raise
