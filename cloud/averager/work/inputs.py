"""All that averaging a round starts from, brought together: its updates, its base, and how the model is laid out."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import msgspec

from cloud.averager.work.file_names import files_of, key_of
from cloud.averager.work.object_reader import ObjectReader
from cloud.averager.work.older_models import bases_of
from cloud.averager.work.sources import accepted_report, accepted_updates, counting_responses, last_updates_for
from cloud.averaging.accepted_updates import AcceptedUpdate, S3Object
from cloud.averaging.blocks import Block, blocks_of
from cloud.averaging.grid import Grid, Part, grid_of
from cloud.averaging.last_updates import LastUpdates, Recalled, recall
from cloud.averaging.new_model import File, OldModelReader
from cloud.averaging.optimizers import vectors_of
from cloud.averaging.rebasing import Base, BaseReader
from cloud.averaging.update_rows import Rebasing, Updates, block_elements
from cloud.averaging.weighing import weigh
from cloud.averaging.weights import Weighing
from cloud.services import Services
from cloud.state.records import ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from protocol import names
from protocol.encodings import UpdateLayout, update_layout
from protocol.messages import ModelHeader, decode
from protocol.tensors import Header, header_length, parse_header

if TYPE_CHECKING:
    from concurrent.futures import Future

HEAD_BYTES = 6 << 20
"""So much of the base model is read at once: its header, and all of it if it is small."""

_BEFORE_BYTES = 16 << 20
"""How much of the base model, and of what belongs to it, is read ahead."""


class Inputs(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a round's averaging starts from. `files` are those that the federation has of each model, `before` those of
    the base that are read. `bases` are the models that the updates were trained from, the present one first. `recalled`
    are the clients' last updates, if the round takes them into account."""

    record: RoundRecord
    responses: Responses
    sources: tuple[AcceptedUpdate, ...]
    layout: UpdateLayout
    weighing: Weighing
    grid: Grid
    files: tuple[File, ...]
    before: dict[File, S3Object]
    bases: tuple[Base, ...]
    recalled: Recalled | None

    @property
    def stored(self) -> list[S3Object]:
        """The files of all updates that are read: the round's own, and those that its clients sent last."""
        return [*(source.stored for source in self.sources), *(self.recalled.stored if self.recalled else ())]

    def blocks(self, parts: Sequence[Part], *, of_all_clients: bool = False) -> list[Block]:
        """Parts in blocks of the size that is best read at a time; of less, if numbers of all clients have to be in
        memory at once."""
        elements = block_elements(
            self.layout.encoding, len(self.sources), ObjectReader.block_bytes, of_all_clients=of_all_clients
        )
        return list(blocks_of(parts, elements))

    def reader(self, services: Services) -> ObjectReader:
        """Reads the updates."""
        return ObjectReader(services.models, self.stored, services.parallel, services.waited_s)

    def updates(self, services: Services, blocks: Sequence[Block], clients: Sequence[int]) -> Updates:
        """The changes that these clients' updates make at some blocks."""
        return Updates(self.layout, self.reader(services), blocks, clients, self.rebasing(services, blocks, clients))

    def rebasing(self, services: Services, blocks: Sequence[Block], clients: Sequence[int]) -> Rebasing | None:
        """What it takes to rebase these clients' late updates at these blocks; None if none is late, or its base can't
        be read."""
        of_clients = [source.base for source in self.sources] + [0] * (len(self.stored) - len(self.sources))
        if not any(of_clients[client] for client in clients):
            return None
        files = [base.stored for base in self.bases]
        reader = ObjectReader(services.models, files, services.parallel, services.waited_s, _BEFORE_BYTES)
        return Rebasing(BaseReader(reader, self.bases, blocks), of_clients)

    def old_model(self, services: Services, parts: Sequence[Part]) -> OldModelReader:
        """Reads what the round starts from, at some parts."""
        files = list(self.before.values())
        reader = ObjectReader(services.models, files, services.parallel, services.waited_s, _BEFORE_BYTES)
        return OldModelReader(self.grid, parts, reader, list(self.before))


def fetch_head(services: Services, record: RoundRecord) -> "Future[bytes]":
    """The first bytes of a round's base model, which are on their way: its header, and all of it if it is small."""
    return services.parallel.submit(services.models.beginning, record.base, HEAD_BYTES)


def gather(
    services: Services,
    record: RoundRecord,
    responses: Responses | None = None,
    fetching: "Future[bytes] | None" = None,
) -> Inputs:
    """The inputs of a round that is being averaged. `responses`, and `fetching`, which `fetch_head` gave, save reading.

    Raises:
        MissingObjectError: the base model is gone.
    """
    fetching = fetching or fetch_head(services, record)
    if responses is None or len(responses.accepted) != record.accepted:
        responses = services.rounds.responses(record.federation, record.round)
    sources = sources_of(services, record, responses)
    head = fetching.result()
    if (length := header_length(head)) > len(head):
        head = services.models.range(record.base.key, 0, length)
    header = parse_header(head, record.base.bytes)
    settings, has_bfloat16 = record.settings.averaging, record.settings.has_bfloat16_copy
    about = decode(header.message, ModelHeader)
    grid = grid_of(header, about, vectors_of(settings), services.part_bytes, has_bfloat16=has_bfloat16)
    files = files_of(settings, grid.vectors, has_bfloat16=has_bfloat16)
    layout = update_layout(header, record.settings.encoding)
    before = _before(record, header, grid, files, head)
    sources, bases = bases_of(services, record, sources, layout, Base(before["model"], header.by_name))
    weighing = weigh(settings, record.settings.training, sources)
    recalled = None
    if settings.variance_reduction:
        recalled = recall(settings, sources, weighing, _last_updates(services, record, before))
    return Inputs(
        record=record,
        responses=responses,
        sources=sources,
        layout=layout,
        weighing=recalled.weighing if recalled else weighing,
        grid=grid,
        files=files,
        before=before,
        bases=bases,
        recalled=recalled,
    )


def _last_updates(services: Services, record: RoundRecord, before: Collection[File]) -> LastUpdates:
    """Each client's last update before the round, as far as they are of use."""
    if "optimizer" not in before or "last_updates" in record.lacking:
        return last_updates_for(record, None)
    data = services.models.fetch(key_of("last_updates", record, names.parse_model_key(record.base.key).round)).data
    return last_updates_for(record, msgspec.json.decode(data, type=LastUpdates))


def _before(
    record: RoundRecord, header: Header, grid: Grid, files: Sequence[File], head: bytes
) -> dict[File, S3Object]:
    """What is read of the base: the model, and what belongs to it, if a round made it with settings like these."""
    before: dict[File, S3Object] = {"model": S3Object(key=record.base.key, data_start=header.length, head=head)}
    round_number = names.parse_model_key(record.base.key).round
    beside = [file for file in files if file not in ("model", "bfloat16", *record.lacking)] if round_number else []
    for file in beside:
        start = grid.optimizer_start(round_number) if file == "optimizer" else grid.model_start(round_number)
        before[file] = S3Object(key=key_of(file, record, round_number), data_start=len(start))
    return before


def sources_of(services: Services, record: RoundRecord, responses: Responses) -> tuple[AcceptedUpdate, ...]:
    """What is averaged, in the order of the things' names."""
    counting = counting_responses(
        record, responses, lambda number: services.rounds.responses(record.federation, number)
    )

    def stored(response: ResponseRecord) -> S3Object:
        report = accepted_report(record, response)
        key = response.key or names.former_update_key(record.federation, report.round, response.thing, record.life)
        cached = services.models.cached(key, response.version_id) or b""
        return S3Object(key=key, data_start=response.data_start, version_id=response.version_id, head=cached)

    return tuple(accepted_updates(record, counting, stored))
