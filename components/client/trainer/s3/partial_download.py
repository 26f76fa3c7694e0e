"""A model that is being downloaded, on the disk: so that a download that was cut off goes on where it was.

The file grows; beside it lies what it is a part of. It is forced to the disk now and then only: what a power cut spoils
is found by the SHA-256 of the whole.
"""

import logging
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from components.client import durable
from protocol.messages import ModelReference

log = logging.getLogger(__name__)

SYNC_BYTES = 8 << 20


class _About(msgspec.Struct, frozen=True, kw_only=True):
    model: ModelReference
    etag: str


class Partial:
    """The beginning of one model in `directory`, which is made if it is missing. Its files have this `name`.

    A disk that takes nothing costs no more than a download from the beginning after the next restart, so that is
    logged, and the download goes on.
    """

    def __init__(self, directory: Path, model: ModelReference, name: str = "model") -> None:
        self._directory = directory
        self._path = directory / f"{name}.part"
        self._about = directory / f"{name}.json"
        self._model = model
        self._file: BinaryIO | None = None
        self._unforced = 0

    def load(self, data: bytearray) -> tuple[int, str]:
        """Fills the beginning of `data` with what is there; gives its length, and the ETag of the object."""
        try:
            about = msgspec.json.decode(self._about.read_bytes(), type=_About)
            if about.model != self._model or self._path.stat().st_size > self._model.bytes:
                log.warning("dropped the beginning of a model", extra={"reason": f"it is of {about.model.key}"})
                self.drop()
                return 0, ""
            with self._path.open("rb") as file:
                return file.readinto(data), about.etag
        except FileNotFoundError:
            return 0, ""
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("dropped the beginning of a model", extra={"reason": error})
            self.drop()
            return 0, ""

    def begin(self, etag: str) -> None:
        """Begins anew, with the object that has this ETag."""
        self.drop()
        try:
            self._directory.mkdir(exist_ok=True)
            durable.replace(self._about, msgspec.json.encode(_About(model=self._model, etag=etag)))
        except OSError as error:
            self._give_up(error)

    def append(self, chunk: memoryview) -> None:
        """Adds the next bytes."""
        if not self._about.exists():
            return
        try:
            if self._file is None:
                self._file = self._path.open("ab")
            self._file.write(chunk)
            self._unforced += len(chunk)
            if self._unforced >= SYNC_BYTES:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._unforced = 0
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Closes the file: it stays."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self._give_up(error)

    def drop(self) -> None:
        """Removes what is there."""
        self.close()
        for path in (self._path, self._about):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove the beginning of a model", extra={"error": error})

    def _give_up(self, error: OSError) -> None:
        log.warning("cannot keep the model: a restart would download it again", extra={"error": error})
        self._file = None
        self.drop()
