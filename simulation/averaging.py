"""The arithmetic of a round on bytes in memory: as the averager does it, without S3."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cloud.averager.work.averaging_warnings import averaging_warnings
from cloud.averager.work.file_names import files_of
from cloud.averaging.accepted_updates import AcceptedUpdate, Fill, Request, S3Object
from cloud.averaging.blocks import Block, blocks_of
from cloud.averaging.distances import gram
from cloud.averaging.grid import Grid, Part, grid_of
from cloud.averaging.last_updates import LastUpdates, Recalled, recall
from cloud.averaging.new_model import File, NewPart, OldModelReader, new_model_parts
from cloud.averaging.optimizers import vectors_of
from cloud.averaging.part_sizes import MIN_PART_BYTES
from cloud.averaging.rebasing import Base, BaseReader
from cloud.averaging.robust import squared_distances
from cloud.averaging.rules import rule_of
from cloud.averaging.rules.rule import ModelChange
from cloud.averaging.sums import GroupSums, StoredSums
from cloud.averaging.update_rows import Rebasing, Updates, block_elements
from cloud.averaging.update_tensors import base_values, read_updates
from cloud.averaging.weighing import weigh
from cloud.settings import Averaging
from fedgrass.policies import Update
from protocol.encodings import Buffer, UpdateLayout, update_layout
from protocol.messages import ModelHeader, Report, Training, decode
from protocol.tensors import Array, Header, parse_header


class MemoryReader:
    """Reads data, the bytes that follow headers."""

    block_bytes = 1 << 20

    def __init__(self, data: Iterable[Buffer]) -> None:
        self._data = [memoryview(one) for one in data]

    def read(self, requests: Iterable[Request]) -> Iterator[Fill]:
        for file, start, end in requests:
            found = self._data[file][start:end]
            if len(found) != end - start:
                raise ValueError(f"file {file} has no bytes {start} to {end}")

            def fill(space: memoryview, found: memoryview = found) -> None:
                space[:] = found

            yield fill


class Round:
    """Updates to a model, each with its data, and how they are averaged: in blocks of so many elements, in parts of so
    many bytes. `before` are the other files of the model; `bases` are other models that some updates were trained from,
    from 1 on; `last` are the clients' last updates, whose files `last_files` has by key. `custom_average` is the user's
    `average`, for the rule that calls it. `number` is the round's, the one after the base's if it is None: rounds
    without a new model lie between the two."""

    def __init__(
        self,
        base: Buffer,
        updates: Iterable[tuple[AcceptedUpdate, Buffer]],
        settings: Averaging,
        training: Training,
        *,
        elements: int | None = None,
        part_bytes: int = MIN_PART_BYTES,
        before: Mapping[File, Buffer] | None = None,
        has_bfloat16: bool = False,
        bases: Sequence[Buffer] = (),
        last: LastUpdates | None = None,
        last_files: Mapping[str, Buffer] = {},
        custom_average: Callable[..., Any] | None = None,
        number: int | None = None,
    ) -> None:
        self.custom_average = custom_average
        self._number = number
        self.settings = settings
        self.header: Header = parse_header(base, len(base))
        about = decode(self.header.message, ModelHeader)
        self.grid: Grid = grid_of(self.header, about, vectors_of(settings), part_bytes, has_bfloat16=has_bfloat16)
        self._before = {"model": base, **(before or {})}
        self.bases = (base, *bases)
        self.negative: set[str] = set()
        self.saturated: set[str] = set()
        ordered = sorted(updates, key=lambda update: update[0].thing)
        self.sources = [source for source, _ in ordered]
        self.layout: UpdateLayout = update_layout(self.header, self.sources[0].report.encoding)
        self.weighing = weigh(settings, training, self.sources)
        files = [data for _, data in ordered]
        self.recalled: Recalled | None = None
        if settings.variance_reduction:
            none = LastUpdates(encoding=self.layout.encoding, rule=settings.rule)
            self.recalled = recall(settings, self.sources, self.weighing, last or none)
            self.weighing = self.recalled.weighing
            files += [memoryview(last_files[one.key])[one.data_start :] for one in self.recalled.stored]
        self.reader = MemoryReader(files)
        self.everyone = range(len(files))
        of_all_clients = rule_of(settings.rule).sees == "coordinates"
        self._elements = elements or block_elements(
            self.layout.encoding, len(ordered), MemoryReader.block_bytes, of_all_clients=of_all_clients
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be in what was averaged so far, or in what it was made of."""
        return averaging_warnings(self.sources, self.negative, self.saturated)

    def blocks(self, parts: Iterable[Part]) -> list[Block]:
        return list(blocks_of(parts, self._elements))

    def rebasing(self, blocks: Sequence[Block]) -> Rebasing | None:
        """What it takes to rebase late updates at these blocks; None if none is late."""
        if len(self.bases) == 1:
            return None
        headers = [parse_header(base, len(base)) for base in self.bases]
        data = [memoryview(base)[header.length :] for base, header in zip(self.bases, headers, strict=True)]
        bases = [Base(S3Object(key="", data_start=0), header.by_name) for header in headers]
        reader = BaseReader(MemoryReader(data), bases, blocks)
        of_last = itertools.repeat(0, len(self.everyone) - len(self.sources))
        return Rebasing(reader, [*(source.base for source in self.sources), *of_last])

    def average(self) -> dict[File, bytes]:
        """The files of the new model."""
        made: dict[File, bytearray] = {}
        for new in self.new_parts(self.grid.parts):
            self.negative |= new.negative
            self.saturated |= new.saturated
            for file, data in new.data.items():
                made.setdefault(file, bytearray()).extend(data)
        number = self._number or self.grid.about.round + 1
        starts = {"model": self.grid.model_start(number), "optimizer": self.grid.optimizer_start(number)}
        starts["bfloat16"] = self.grid.bfloat16_start(number)
        return {file: bytes(starts.get(file, starts["model"]) + data) for file, data in made.items()}

    def new_parts(self, parts: Sequence[Part]) -> Iterator[NewPart]:
        """Some parts of the new model, in their order."""
        blocks, share = self.blocks(parts), self.recalled.share if self.recalled else None
        change, before = self.change(blocks), self._reading(parts)
        return new_model_parts(self.grid, parts, blocks, change, before, self.settings, share)

    def change(self, blocks: Sequence[Block]) -> ModelChange:
        """What the rule makes of the updates at these blocks."""
        return rule_of(self.settings.rule).change(MemoryUpdates(self, blocks, self.chosen()))

    def chosen(self) -> Sequence[int]:
        """The clients that the rule selects; all, if it selects none."""
        blocks, select = self.blocks(self.grid.parts), rule_of(self.settings.rule).select
        if select is None:
            return self.everyone
        products = gram(Updates(self.layout, self.reader, blocks, self.everyone), blocks, self.weighing)
        return select(squared_distances(products, self.weighing.norms), self.settings)

    def _reading(self, parts: Sequence[Part]) -> OldModelReader:
        files = [file for file in files_of(self.settings, self.grid.vectors) if file in self._before]
        data = [self._before[file] for file in files]
        lengths = [len(one) - self._data_bytes(file) for file, one in zip(files, data, strict=True)]
        reader = MemoryReader(memoryview(one)[length:] for one, length in zip(data, lengths, strict=True))
        return OldModelReader(self.grid, parts, reader, files)

    def _data_bytes(self, file: File) -> int:
        return self.grid.optimizer_range(self.grid.parts[-1])[1] if file == "optimizer" else self.header.data_bytes


class MemoryUpdates:
    """A round's updates at some blocks, as its rule sees them."""

    def __init__(self, a_round: Round, blocks: Sequence[Block], selected: Sequence[int]) -> None:
        self._round = a_round
        self.settings = a_round.settings
        self.weighing = a_round.weighing
        self.blocks = blocks
        self.selected = selected

    def of(self, blocks: Sequence[Block], clients: Sequence[int]) -> Updates:
        a_round = self._round
        return Updates(a_round.layout, a_round.reader, blocks, clients, a_round.rebasing(blocks))

    def sums(self) -> GroupSums | StoredSums:
        return GroupSums(self.of(self.blocks, self.selected), self.weighing, self.weighing.total(self.selected))

    def whole(self) -> Iterator[Update]:
        a_round, blocks = self._round, self._round.blocks(self._round.grid.parts)
        rebasing = a_round.rebasing(blocks)
        models = rebasing.reader.whole(blocks) if rebasing else ()
        return read_updates(a_round.layout, a_round.reader, a_round.sources, models)

    def base(self) -> dict[str, Array]:
        return base_values(bytes(self._round.bases[0]))

    def custom_average(self) -> Callable[..., Any]:
        if self._round.custom_average is None:
            raise ValueError("the round of a custom rule needs its custom_average")
        return self._round.custom_average


def accepted(
    updates: Iterable[bytes],
    *,
    norms: Mapping[str, float] = {},
    ages: Mapping[str, int] = {},
    trained_from: Mapping[str, int | None] = {},
    integer_changes: Mapping[str, int] = {},
) -> Iterator[tuple[AcceptedUpdate, memoryview]]:
    """Files of updates as a round takes them, with what inspection and the rounds before would have found of each
    client's: a norm of 1, no delay, the present model as its base."""
    for update in updates:
        header = parse_header(update, len(update))
        report = decode(header.message, Report)
        source = AcceptedUpdate(
            thing=report.thing,
            report=report,
            norm=norms.get(report.thing, 1.0),
            stored=S3Object(key=report.thing, data_start=header.length),
            age=ages.get(report.thing, 0),
            base=trained_from.get(report.thing, 0),
            integer_change=integer_changes.get(report.thing),
        )
        yield source, memoryview(update)[header.length :]
