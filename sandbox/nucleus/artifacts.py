"""Artifacts of deployed components: from S3, as the token exchange role, with their digests checked."""

import base64
import hashlib
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.nucleus.credentials import RENEW_BEFORE, Credentials
from sandbox.nucleus.recipe import Artifact

_PIECE_BYTES = 1 << 20


class ArtifactError(Exception):
    """An artifact can't be had. `codes` are the nucleus's for it."""

    def __init__(self, message: str, *codes: str) -> None:
        super().__init__(message)
        self.codes = codes


class ArtifactStore:
    """S3, as the nuclei of a fleet reach it. It may be called in any thread."""

    def __init__(self, assume: Callable[[], Credentials], client: Callable[[Credentials], Any]) -> None:
        """`assume` gives credentials of the token exchange role, `client` a client of S3 by these."""
        self._assume = assume
        self._make = client
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._client: Any = None

    def fetch(self, artifact: Artifact, path: Path) -> None:
        """Have an artifact at a path; nothing is done if it is there already.

        Raises:
            ArtifactError: it can't be had, or is not what was published.
        """
        if artifact.digest is None:
            raise ArtifactError(f"Artifact {artifact.uri} has no digest in its recipe", "ARTIFACT_DOWNLOAD_ERROR")
        if path.exists() and _digest(path) == artifact.digest:
            return
        address = urlparse(artifact.uri)
        partial = path.with_name(f".{path.name}.part")
        try:
            answer = self._s3().get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))
            with partial.open("wb") as file:
                shutil.copyfileobj(answer["Body"], file, _PIECE_BYTES)
        except (ClientError, BotoCoreError) as error:
            raise ArtifactError(f"Failed to download artifact {artifact.uri}: {error}", *_codes(error)) from error
        if _digest(partial) != artifact.digest:
            partial.unlink()
            raise ArtifactError(
                f"Artifact {artifact.uri} is not what was published: its SHA-256 digest is another",
                "ARTIFACT_DOWNLOAD_ERROR",
                "ARTIFACT_CHECKSUM_MISMATCH",
            )
        path.unlink(missing_ok=True)
        partial.chmod(0o444)
        partial.rename(path)

    def _s3(self) -> Any:
        with self._lock:
            if self._credentials is None or self._credentials.expiration - RENEW_BEFORE < datetime.now(UTC):
                self._credentials = self._assume()
                self._client = self._make(self._credentials)
            return self._client


def _codes(error: Exception) -> tuple[str, ...]:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else None
    detail = {403: ("S3_ERROR", "S3_GET_OBJECT_ACCESS_DENIED"), 404: ("S3_ERROR", "S3_GET_OBJECT_RESOURCE_NOT_FOUND")}
    return ("ARTIFACT_DOWNLOAD_ERROR", *detail.get(status or 0, ("NETWORK_ERROR",)))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
