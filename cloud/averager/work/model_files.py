"""The files of a new model, written to S3 as they come into being."""

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.averager.work.file_names import files_beside, key_of
from cloud.averager.work.object_reader import ObjectReader, waiting
from cloud.averaging.accepted_updates import Request, S3Object, read_whole
from cloud.averaging.grid import Grid
from cloud.averaging.new_model import File, NewPart
from cloud.services import Services
from cloud.state.records import RoundRecord
from protocol.messages import ModelReference

if TYPE_CHECKING:
    from concurrent.futures import Future

PIECE_BYTES = 8 << 20
"""A model that several invocations have written is read again by so much at a time."""

_UNDER_WAY = 4
"""How many parts may be on their way to S3 at once, before more are made."""


class _Written:
    """What was written of a file so far."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def add(self, data: bytes | bytearray) -> None:
        self._sha256.update(data)
        self._bytes += len(data)

    def reference(self, key: str) -> ModelReference:
        # There always is a model: what has no bytes was written elsewhere, and nobody asks how to refer to it.
        return ModelReference(key=key, sha256=self._sha256.hexdigest(), bytes=self._bytes)


class ModelWriter:
    """Writes parts of the files of the model that the round of `record` makes: each file at once if it has one part
    only, else to the multipart uploads given, by key. How long writing takes is added to the services' `waited_s`."""

    def __init__(self, services: Services, record: RoundRecord, grid: Grid, uploads: dict[str, str]) -> None:
        self._services = services
        self._record = record
        self._grid = grid
        self._uploads = uploads
        self._under_way: deque[Future[Any]] = deque()
        self._beside = files_beside(record.settings)
        self._written: dict[File, _Written] = {file: _Written() for file in ("model", *self._beside)}
        self._model_at_once: bytes | None = None

    def write(self, new: NewPart) -> None:
        """Write a part. It may still be on its way when this returns."""
        for file, data in new.data.items():
            written = (self._start(file) if not new.part.number else b"") + bytes(data)
            if file in self._written:
                self._written[file].add(written)
            if file == "model" and not self._uploads:
                self._model_at_once = written
            self._wait(_UNDER_WAY - 1)
            self._under_way.append(self._services.parallel.submit(self._put, file, new.part.number, written))

    def finish(self) -> ModelReference:
        """Return when all is written: how to refer to the model, if all of its parts were written here."""
        self._wait(0)
        model = self._reference("model")
        if self._model_at_once is not None:
            self._services.models.cache_model(model, self._model_at_once)  # the next round starts from it
        beside = {field: self._reference(file) for file, field in self._beside.items()}
        return msgspec.structs.replace(model, **beside)

    def _reference(self, file: File) -> ModelReference:
        return self._written[file].reference(key_of(file, self._record, self._record.round))

    def _wait(self, until: int) -> None:
        with waiting(self._services.waited_s, "write"):
            while len(self._under_way) > until:
                self._under_way.popleft().result()

    def _put(self, file: File, number: int, data: bytes) -> None:
        key = key_of(file, self._record, self._record.round)
        if key in self._uploads:
            self._services.models.put_part(key, self._uploads[key], number, data)
        else:
            self._services.models.put_new(key, data)

    def _start(self, file: File) -> bytes:
        grid = self._grid
        starts = {"optimizer": grid.optimizer_start, "bfloat16": grid.bfloat16_start}
        return starts.get(file, grid.model_start)(self._record.round)


def read_back(services: Services, record: RoundRecord, grid: Grid) -> ModelReference:
    """How to refer to the model of a round that several invocations have written: its bytes are read again, some ranges
    at once.

    Raises:
        MissingObjectError: it isn't there.
    """
    beside = {field: _read_back(services, record, grid, file) for file, field in files_beside(record.settings).items()}
    return msgspec.structs.replace(_read_back(services, record, grid, "model"), **beside)


def _read_back(services: Services, record: RoundRecord, grid: Grid, file: File) -> ModelReference:
    last = grid.parts[-1]
    size = len(grid.model_start(record.round)) + last.end
    if file == "bfloat16":
        size = len(grid.bfloat16_start(record.round)) + last.bfloat16[1]
    key = key_of(file, record, record.round)
    ranges = [Request(0, start, min(start + PIECE_BYTES, size)) for start in range(0, size, PIECE_BYTES)]
    reader = ObjectReader(services.models, [S3Object(key=key, data_start=0)], services.parallel, services.waited_s)
    written = _Written()
    for data in read_whole(reader, ranges):
        written.add(data)
    return written.reference(key)
