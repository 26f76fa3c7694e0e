"""The averager on a disk instead of S3: the same arithmetic, on files."""

import errno
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec

from cloud.averaging.accepted_updates import AcceptedUpdate, Fill, Request, S3Object
from cloud.averaging.blocks import blocks_of
from cloud.averaging.grid import grid_of
from cloud.averaging.new_model import OldModelReader, new_model_parts
from cloud.averaging.rules.mean import Mean
from cloud.averaging.sums import GroupSums
from cloud.averaging.update_rows import Updates
from cloud.averaging.weighing import weigh
from cloud.settings import Averaging
from protocol.encodings import UpdateLayout, check_layout, update_layout
from protocol.messages import ModelHeader, Report, Training, decode
from protocol.tensors import DTYPES, InvalidTensorsError, encode_header, header_length, parse_header

_HEAD_BYTES = 4096
_METADATA_AT = 8 + len('{"__metadata__":{"fedgrass":')
_METADATA_END = b'"},'
_OPEN_FILES = 512
_TRAINING = Training(epochs=1, batch_size=1, learning_rate=0.1)


class FileReader:
    """Reads files from a disk."""

    block_bytes = 256 << 10

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._starts = [0] * len(paths)
        self._open: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def head(self, file: int) -> tuple[bytes, int]:
        """What precedes the data of a file, and how long the file is. To be asked for before the file is read."""
        descriptor = self._descriptor(file)
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        if (length := header_length(head)) > len(head):
            head = os.pread(descriptor, length, 0)
        self._starts[file] = length
        return head[:length], os.lseek(descriptor, 0, os.SEEK_END)

    def read(self, requests: Iterable[Request]) -> Iterator[Fill]:
        """What was requested, in this order."""
        for file, start, _ in requests:
            yield functools.partial(_fill, self._descriptor(file), self._starts[file] + start)

    def _descriptor(self, file: int) -> int:
        descriptor = self._open.get(file)
        if descriptor is None:
            if len(self._open) >= _OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            descriptor = self._open[file] = os.open(self._paths[file], os.O_RDONLY)
        return descriptor


def average_files(updates: Sequence[Path], base: Path, new: Path, settings: Averaging) -> None:
    """Average updates to a base model, all of them files, and write the new model's file. The updates are in the order
    of their senders' names, and all in float32.

    Raises:
        SchemaMismatchError: an update is none to this model.
        OSError: a file can't be read, or written whole.
    """
    with FileReader(updates) as reader, FileReader([base]) as base_reader:
        header = parse_header(*base_reader.head(0))
        layout = update_layout(header, "float32")
        sources = list(_sources(reader, len(updates), layout))
        grid = grid_of(header, decode(header.message, ModelHeader), 0)
        weighing = weigh(settings, _TRAINING, sources)
        blocks = list(blocks_of(grid.parts, FileReader.block_bytes // DTYPES["F32"].itemsize))
        clients = range(len(sources))
        sums = GroupSums(Updates(layout, reader, blocks, clients), weighing, weighing.total(clients))
        changes = Mean(sums, weighing.value_total(clients))
        before = OldModelReader(grid, grid.parts, base_reader, ("model",))
        start = grid.model_start(grid.about.round + 1)
        with new.open("wb", buffering=0) as file:
            for part in new_model_parts(grid, grid.parts, blocks, changes, before, settings):
                _write(file.fileno(), start, part.data["model"])
                start = b""


def _fill(descriptor: int, start: int, space: memoryview) -> None:
    if os.preadv(descriptor, [space], start) != len(space):
        raise InvalidTensorsError("a file has become shorter while it was read")


def _write(descriptor: int, *data: bytes | bytearray) -> None:
    if os.writev(descriptor, data) != sum(map(len, data)):
        raise OSError(errno.ENOSPC, "the new model does not fit on the disk")


def _sources(reader: FileReader, files: int, layout: UpdateLayout) -> Iterator[AcceptedUpdate]:
    """The updates, each checked to be of this layout. The averager does this when an update arrives, and keeps what it
    found; here it is part of the work. Headers that devices write differ in the report alone: the rest is compared with
    what it has to be, and one that looks otherwise is parsed."""
    tensors = encode_header(layout.tensors, "").partition(_METADATA_END)[2].rstrip()
    for file in range(files):
        head, size = reader.head(file)
        message, _, rest = head[_METADATA_AT:].partition(_METADATA_END)
        if rest.rstrip() != tensors or len(head) + layout.data_bytes != size:
            check_layout(parse_header(head, size), layout)
        report = decode(msgspec.json.decode(message + b'"', type=str), Report)
        stored = S3Object(key=report.thing, data_start=len(head))
        yield AcceptedUpdate(thing=report.thing, report=report, norm=0.0, stored=stored)
