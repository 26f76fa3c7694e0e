"""The work of averaging, all of it at once or job by job: reading updates, writing the files of the new model."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from cloud.averager.work.averaging_warnings import averaging_warnings
from cloud.averager.work.file_names import key_of
from cloud.averager.work.inputs import Inputs
from cloud.averager.work.model_files import ModelWriter
from cloud.averager.work.object_reader import ObjectReader
from cloud.averager.work.round_updates import StoredUpdates
from cloud.averaging.accepted_updates import S3Object
from cloud.averaging.blocks import Block
from cloud.averaging.distances import gram
from cloud.averaging.grid import Part
from cloud.averaging.new_model import new_model_parts
from cloud.averaging.robust import squared_distances
from cloud.averaging.rules import rule_of
from cloud.averaging.sums import StoredSums, Sums, file_of_sums, groups_of
from cloud.averaging.update_rows import Updates
from cloud.services import Services
from cloud.state.records import Work
from protocol import names
from protocol.messages import ModelReference


class Averager:
    """Averages one round. The same updates always give the same bytes, however the work is split, and however often a
    part of it is done again.

    Raises:
        InvalidPolicyError: a custom average failed.
        NotFiniteModelError: the new model would have values that are not finite.
        MissingObjectError: an accepted update, or what belongs to the base model, is gone.
        MissingUploadError: the round has been averaged, or given up, meanwhile.
    """

    def __init__(self, services: Services, inputs: Inputs) -> None:
        self._services = services
        self._inputs = inputs
        self._record = inputs.record
        self._settings = inputs.record.settings.averaging
        self._rule = rule_of(self._settings.rule)
        self._everyone: Sequence[int] = range(len(inputs.stored))
        self._negative: set[str] = set()
        self._saturated: set[str] = set()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be in what was written so far, or in what it was made of."""
        return averaging_warnings(self._inputs.sources, self._negative, self._saturated)

    def begin_uploads(self) -> dict[str, str]:
        """Begin a multipart upload of each file of the new model: their ids, by key. None if a file is in one part."""
        if len(self._inputs.grid.parts) == 1:
            return {}
        keys = [key_of(file, self._record, self._record.round) for file in self._inputs.files]
        return dict(zip(keys, self._services.parallel.map(self._services.models.begin, keys), strict=True))

    def complete_uploads(self, uploads: dict[str, str]) -> None:
        """Make objects of what was uploaded. Doing it again changes nothing."""
        list(self._services.parallel.map(self._services.models.complete, uploads.keys(), uploads.values()))

    def do_all(self) -> ModelReference:
        """Average the round and write the files of the new model."""
        parts, uploads = self._inputs.grid.parts, self.begin_uploads()
        model = self._write(parts, uploads, self._selected(lambda: self._gram(parts)))
        self.complete_uploads(uploads)
        return model

    def note_last_updates(self) -> None:
        """Write which update of each client is the last one now, if the next round needs to know. Doing it again
        changes nothing."""
        if self._inputs.recalled is not None:
            key = key_of("last_updates", self._record, self._record.round)
            self._services.models.put_new(key, msgspec.json.encode(self._inputs.recalled.after))

    def do_job(self, work: Work, job: int) -> None:
        """Do a job of the present stage of the round's work."""
        shard, group = divmod(job, work.groups if work.present == "sums" else 1)
        parts = self._inputs.grid.shard(shard, work.shards)
        if work.present == "distances":
            self._services.models.put_partial(self._key(f"distances-{shard}"), self._gram(parts).tobytes())
        elif work.present == "sums":
            self._write_sums(parts, work, shard, group)
        else:
            selected = self._selected(lambda: self._stored_gram(work))
            self._write(parts, work.uploads, selected, shard if "sums" in work.stages else None)

    def _write(
        self, parts: Sequence[Part], uploads: dict[str, str], selected: Sequence[int], summed: int | None = None
    ) -> ModelReference:
        """Write these parts of the files; `summed` is the shard whose sums are there already."""
        inputs, services = self._inputs, self._services
        blocks = inputs.blocks(parts, of_all_clients=self._rule.sees == "coordinates")
        stored = None if summed is None else self._stored_sums(blocks, summed)
        change = self._rule.change(StoredUpdates(services, inputs, blocks, selected, stored))
        before = inputs.old_model(services, parts)
        writer = ModelWriter(services, self._record, inputs.grid, uploads)
        share = inputs.recalled.share if inputs.recalled else None
        for new in new_model_parts(inputs.grid, parts, blocks, change, before, self._settings, share):
            writer.write(new)
            self._negative |= new.negative
            self._saturated |= new.saturated
        return writer.finish()

    # ---- What goes before the last stage

    def _gram(self, parts: Sequence[Part]) -> Sums:
        blocks = self._inputs.blocks(parts, of_all_clients=True)
        updates = Updates(self._inputs.layout, self._inputs.reader(self._services), blocks, self._everyone)
        return gram(updates, blocks, self._inputs.weighing)

    def _stored_gram(self, work: Work) -> Sums:
        keys = [self._key(f"distances-{shard}") for shard in range(work.shards)]
        found = self._services.parallel.map(self._services.models.fetch, keys)
        shape = (len(self._everyone), len(self._everyone))
        return sum((np.frombuffer(one.data).reshape(shape) for one in found), np.zeros(shape))

    def _selected(self, products: Callable[[], Sums]) -> Sequence[int]:
        """The clients that the rule selects, in their order; all, if it selects none."""
        if self._rule.select is None:
            return self._everyone
        return self._rule.select(squared_distances(products(), self._inputs.weighing.norms), self._settings)

    def _write_sums(self, parts: Sequence[Part], work: Work, shard: int, group: int) -> None:
        all_groups = groups_of(self._everyone)
        first, end = (len(all_groups) * g // work.groups for g in (group, group + 1))
        blocks, weighing = self._inputs.blocks(parts), self._inputs.weighing
        total = weighing.total(self._everyone)
        for number in range(first, end):
            updates = self._inputs.updates(self._services, blocks, all_groups[number])
            data = file_of_sums(updates, blocks, weighing, total)
            self._services.models.put_partial(self._key(f"sums-{shard}-{number}"), data)

    def _stored_sums(self, blocks: Sequence[Block], shard: int) -> StoredSums:
        groups = len(groups_of(self._everyone))
        files = [S3Object(key=self._key(f"sums-{shard}-{number}"), data_start=0) for number in range(groups)]
        reader = ObjectReader(self._services.models, files, self._services.parallel, self._services.waited_s)
        return StoredSums(reader, blocks, groups, has_last=self._inputs.recalled is not None)

    def _key(self, name: str) -> str:
        return names.partial_key(self._record.federation, self._record.round, name, self._record.life)
