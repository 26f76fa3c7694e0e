"""Models from S3, updates to S3; each is tried again until it succeeds or the round is called off."""

import hashlib
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from components.client.trainer.s3.download import Download, InvalidModelError
from components.client.trainer.s3.partial_download import Partial
from components.client.trainer.s3.resumable_upload import ResumableUpload
from components.client.trainer.s3.s3_client import CloudClock
from components.client.trainer.s3.token_exchange import TokenExchangeError
from protocol.messages import ModelReference
from protocol.upload_parts import IN_PARTS_BYTES

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
MAX_RETRY_S = 60.0
FIRST_CREDENTIALS_RETRY_S = 60.0
MAX_CREDENTIALS_RETRY_S = 300.0
"""The token exchange service remembers for one to five minutes that it got no credentials."""

_OLD_CREDENTIALS = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId")


class Transfer:
    """S3 for one federation's device.

    `on_failure` is called with the reason whenever an attempt has failed; then it is tried again, until the agent
    calls the round off at its deadline. `directory` is where the beginning of a model is kept.
    """

    def __init__(
        self,
        make_client: Callable[[CloudClock], "S3Client"],
        bucket: str,
        directory: Path,
        on_failure: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.clock = CloudClock()
        self._make_client = make_client
        self._client: S3Client | None = None
        self._bucket = bucket
        self._directory = directory
        self._on_failure = on_failure
        self._sleep = sleep

    def download(self, model: ModelReference, name: str = "model") -> bytearray:
        """The bytes of a model; what an earlier process got of them, by this name, is not asked for again.

        Raises:
            InvalidModelError: there is no such object, or it has another length or SHA-256.
        """
        download = Download(self._bucket, model, Partial(self._directory, model, name))
        while True:
            self._persist(download.attempt, f"cannot download {model.key}", lambda: download.position)
            digest = hashlib.sha256(download.data).hexdigest()
            if digest == model.sha256:
                return download.data
            resumed = download.resumed
            download.restart()
            if not resumed:
                raise InvalidModelError(f"model {model.key} has SHA-256 {digest}, the assignment says {model.sha256}")
            log.warning("dropped the beginning of a model", extra={"reason": "the SHA-256 of the whole is wrong"})

    def upload(self, key: str, body: bytes) -> None:
        """Writes one object, a large one in parts, so that what an earlier process sent of it is not sent again; S3
        checks what arrives by its CRC."""
        if len(body) < IN_PARTS_BYTES:
            self._persist(
                lambda s3: s3.put_object(Bucket=self._bucket, Key=key, Body=body),
                f"cannot upload {key}",
            )
        else:
            upload = ResumableUpload(self._directory, self._bucket, key, body)
            self._persist(upload.attempt, f"cannot upload {key}", lambda: upload.sent_parts)

    def _persist(
        self, attempt: Callable[["S3Client"], object], failure: str, progress: Callable[[], int] = lambda: 0
    ) -> None:
        """Tries until it succeeds. Waits grow with each failure, unless an attempt had made progress when it failed."""
        failures = 0
        while True:
            first_s, longest_s = FIRST_RETRY_S, MAX_RETRY_S
            before = progress()
            try:
                if self._client is None:
                    self._client = self._make_client(self.clock)
                attempt(self._client)
            except (TokenExchangeError, NoCredentialsError) as error:
                first_s, longest_s = FIRST_CREDENTIALS_RETRY_S, MAX_CREDENTIALS_RETRY_S
                reason = f"{failure}: no credentials from the token exchange service: {error}"
            except ClientError as error:
                reason = f"{failure}: {error}"
                self._learn(error)
            except BotoCoreError as error:
                reason = f"{failure}: {error}"
            else:
                return
            if progress() > before:
                failures = 0
            wait_s = min(first_s * 2**failures, longest_s) * random.uniform(0.5, 1.0)  # noqa: S311
            failures = min(failures + 1, 16)
            log.warning("%s; trying again in %.1f s", reason, wait_s)
            self._on_failure(reason)
            self._sleep(wait_s)

    def _learn(self, error: ClientError) -> None:
        """What a refusal says of the time and of the credentials."""
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        if error.response["Error"]["Code"] == "RequestTimeTooSkewed":
            self.clock.learn(headers)
        if error.response["Error"]["Code"] in _OLD_CREDENTIALS:
            self._client = None
