"""The download of one model, which goes on where it was cut off: in this process, or in one before."""

import contextlib
import logging
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from components.client.trainer.s3.partial_download import Partial
from protocol.messages import ModelReference

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20

_CHANGED = ("PreconditionFailed", "InvalidRange")


class InvalidModelError(Exception):
    """The object in S3 is not the model that the assignment names, or there is none."""


class Download:
    """The bytes of a model as far as they are here, `position` of them; `resumed` if the first ones are from an earlier
    process."""

    def __init__(self, bucket: str, model: ModelReference, partial: Partial) -> None:
        self.data = bytearray(model.bytes)
        self._bucket = bucket
        self._model = model
        self._partial = partial
        self.position, self._etag = partial.load(self.data)
        self.resumed = self.position > 0

    def attempt(self, s3: "S3Client") -> None:
        """Reads what is missing.

        Raises:
            InvalidModelError: there is no such object, or it has another length.
            ClientError, BotoCoreError: it was cut off, or refused; the next attempt goes on.
        """
        if self.position == len(self.data):
            return
        response = self._request(s3)
        total = _total_bytes(response)
        if total != self._model.bytes:
            raise InvalidModelError(
                f"model {self._model.key} has {total} bytes, the assignment says {self._model.bytes}"
            )
        if self.position and "ContentRange" not in response:
            self.restart()
        if self.position == 0:
            self._partial.begin(response["ETag"])
            self._etag = response["ETag"]
        # Not `with response["Body"]`: that gives urllib3's response, whose errors are not botocore's.
        with (
            contextlib.closing(self._partial),
            contextlib.closing(response["Body"]) as body,
            memoryview(self.data) as view,
        ):
            while self.position < len(view):
                chunk = view[self.position : self.position + CHUNK_BYTES]
                length = body.readinto(chunk)  # type: ignore[arg-type]  # raises if the body ends early
                self._partial.append(chunk[:length])
                self.position += length

    def restart(self) -> None:
        """Forgets what is here."""
        self._partial.drop()
        self.position, self._etag, self.resumed = 0, "", False

    def _request(self, s3: "S3Client") -> "GetObjectOutputTypeDef":
        try:
            if self.position == 0:
                return s3.get_object(Bucket=self._bucket, Key=self._model.key)
            return s3.get_object(
                Bucket=self._bucket, Key=self._model.key, Range=f"bytes={self.position}-", IfMatch=self._etag
            )
        except s3.exceptions.NoSuchKey as error:
            raise InvalidModelError(f"there is no model {self._model.key} in bucket {self._bucket}") from error
        except ClientError as error:
            if error.response["Error"]["Code"] in _CHANGED:
                log.warning("the model has changed while it was downloaded; beginning anew", extra={"error": error})
                self.restart()
            raise


def _total_bytes(response: "GetObjectOutputTypeDef") -> int:
    if "ContentRange" in response:
        return int(response["ContentRange"].rpartition("/")[2])
    return response["ContentLength"]
