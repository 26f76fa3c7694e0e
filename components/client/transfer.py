"""Models from S3, updates to S3, by plain boto3; each is tried again until it succeeds or the round is called off."""

import contextlib
import hashlib
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from protocol.messages import ModelReference

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
MAX_RETRY_S = 60.0
CHUNK_BYTES = 1 << 20
UPDATE_TAG = "fedgrass=update"
"""What the bucket's lifecycle rule for updates looks for."""

_Result = TypeVar("_Result")


class InvalidModelError(Exception):
    """The object in S3 is not the model that the assignment names, or there is none."""


def client() -> "S3Client":
    """An S3 client with the device's own credentials, which boto3 finds in the environment.

    Models are checked by their SHA-256, so botocore need not check their CRC.
    """
    return boto3.session.Session().client(
        "s3",
        config=Config(
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=1,
            retries={"mode": "standard", "max_attempts": 3},
            response_checksum_validation="when_required",
        ),
    )


class Transfer:
    """Moves files between this device and the federation's bucket. `on_failure` is told why a try failed.

    There is no limit to the tries: the agent ends the work when the round's deadline has passed. The token exchange
    service remembers a failure for minutes, so the waits grow to a minute.
    """

    def __init__(self, s3: "S3Client", bucket: str, on_failure: Callable[[str], None]) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._on_failure = on_failure

    def download(self, model: ModelReference) -> bytearray:
        """The bytes of a model.

        Raises:
            InvalidModelError: there is no such object, or it has another length or SHA-256.
        """
        data = self._persist(lambda: self._get(model), f"cannot download {model.key}")
        digest = hashlib.sha256(data).hexdigest()
        if digest != model.sha256:
            raise InvalidModelError(f"model {model.key} has SHA-256 {digest}, the assignment says {model.sha256}")
        return data

    def upload(self, key: str, body: bytes) -> None:
        """Writes one object; S3 checks what arrives by its CRC, and deletes it after some days by its tag."""
        self._persist(
            lambda: self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, Tagging=UPDATE_TAG),
            f"cannot upload {key}",
        )

    def _get(self, model: ModelReference) -> bytearray:
        try:
            response = self._s3.get_object(Bucket=self._bucket, Key=model.key)
        except self._s3.exceptions.NoSuchKey as error:
            raise InvalidModelError(f"there is no model {model.key} in bucket {self._bucket}") from error
        if response["ContentLength"] != model.bytes:
            raise InvalidModelError(
                f"model {model.key} has {response['ContentLength']} bytes, the assignment says {model.bytes}"
            )
        data = bytearray(model.bytes)
        position = 0
        # Not `with response["Body"]`: that gives urllib3's response, whose errors are not botocore's.
        with contextlib.closing(response["Body"]) as body, memoryview(data) as view:
            while position < len(view):
                chunk = view[position : position + CHUNK_BYTES]
                position += body.readinto(chunk)  # type: ignore[arg-type]  # raises if the body ends early
        return data

    def _persist(self, attempt: Callable[[], _Result], failure: str) -> _Result:
        wait_s = FIRST_RETRY_S
        while True:
            try:
                return attempt()
            except (ClientError, BotoCoreError) as error:
                reason = f"{failure}: {error}"
            log.warning("%s; trying again in %.1f s", reason, wait_s)
            self._on_failure(reason)
            time.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
            wait_s = min(2 * wait_s, MAX_RETRY_S)
