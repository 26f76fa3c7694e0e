"""The upload of a large update in parts, which goes on where it was cut off: in this process, or in one before.

Each part that S3 has confirmed is noted on the disk. The device's policy needs no more for this than for a plain PUT;
an upload that is never completed is removed by the bucket's lifecycle rule.
"""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from components.client import durable
from protocol.upload_parts import PART_BYTES

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

log = logging.getLogger(__name__)


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    etag: str
    crc32: str | None


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that S3 knows: of which object, and which of its parts S3 has."""

    bucket: str
    key: str
    sha256: str
    id: str
    parts: tuple[_Part, ...] = ()


class ResumableUpload:
    """One object on its way to S3; `directory` is where it is noted how far it is."""

    def __init__(self, directory: Path, bucket: str, key: str, body: bytes) -> None:
        self._path = directory / "upload.json"
        self._bucket = bucket
        self._key = key
        self._body = body
        self._sha256 = hashlib.sha256(body).hexdigest()
        self._begun = self._load()

    @property
    def sent_parts(self) -> int:
        """How many parts S3 has confirmed."""
        return len(self._begun.parts) if self._begun else 0

    def attempt(self, s3: "S3Client") -> None:
        """Sends what is missing, and completes the object.

        Raises:
            ClientError, BotoCoreError: it was cut off, or refused; the next attempt goes on.
        """
        try:
            self._send(s3)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchUpload":
                log.warning("S3 has forgotten the upload: beginning anew", extra={"error": error})
                self._begun = None
            raise

    def _send(self, s3: "S3Client") -> None:
        if self._begun is None:
            created = s3.create_multipart_upload(Bucket=self._bucket, Key=self._key, ChecksumAlgorithm="CRC32")
            self._begun = _Begun(bucket=self._bucket, key=self._key, sha256=self._sha256, id=created["UploadId"])
            self._save()
        for start in range(len(self._begun.parts) * PART_BYTES, len(self._body), PART_BYTES):
            sent = s3.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._begun.id,
                PartNumber=start // PART_BYTES + 1,
                Body=self._body[start : start + PART_BYTES],
                ChecksumAlgorithm="CRC32",
            )
            part = _Part(etag=sent["ETag"], crc32=sent.get("ChecksumCRC32"))
            self._begun = msgspec.structs.replace(self._begun, parts=(*self._begun.parts, part))
            self._save()
        parts: list[CompletedPartTypeDef] = []
        for number, part in enumerate(self._begun.parts, 1):
            parts.append({"PartNumber": number, "ETag": part.etag})
            if part.crc32 is not None:
                parts[-1]["ChecksumCRC32"] = part.crc32
        s3.complete_multipart_upload(
            Bucket=self._bucket, Key=self._key, UploadId=self._begun.id, MultipartUpload={"Parts": parts}
        )

    def _load(self) -> _Begun | None:
        try:
            begun = msgspec.json.decode(self._path.read_bytes(), type=_Begun)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("dropped the beginning of an upload", extra={"reason": error})
            return None
        if (begun.bucket, begun.key, begun.sha256) != (self._bucket, self._key, self._sha256):
            log.warning("dropped the beginning of an upload", extra={"reason": f"it is of another {begun.key}"})
            return None
        return begun

    def _save(self) -> None:
        try:
            self._path.parent.mkdir(exist_ok=True)
            durable.replace(self._path, msgspec.json.encode(self._begun))
        except OSError as error:
            log.warning("cannot note how far the upload is: a restart would begin anew", extra={"error": error})
