"""Rounds of updates that a test has made, to be averaged in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cloud.averaging.blocks import Block
from cloud.averaging.grid import Part
from cloud.averaging.new_model import File, NewPart
from cloud.averaging.rules import rule_of
from cloud.averaging.rules.rule import ModelChange
from cloud.averaging.sums import StoredSums, file_of_sums, groups_of
from cloud.settings import Averaging
from protocol.messages import Training
from simulation.averaging import MemoryReader, MemoryUpdates, Round, accepted

TRAINING = Training(epochs=1, batch_size=1, learning_rate=0.1)


class SummedUpdates(MemoryUpdates):
    """The updates of all clients, of which other invocations have summed the groups."""

    def sums(self) -> StoredSums:
        total, groups = self.weighing.total(self.selected), groups_of(self.selected)
        files = [file_of_sums(self.of(self.blocks, group), self.blocks, self.weighing, total) for group in groups]
        return StoredSums(MemoryReader(files), self.blocks, len(files), has_last=self.weighing.sum_weights is not None)


class ShardedRound(Round):
    """A round that several invocations may average."""

    def average(self, shards: int = 1, *, summed: bool = False, change: ModelChange | None = None) -> dict[File, bytes]:
        """The files of the new model, made by so many shards; `summed` has other invocations sum the groups first."""
        self._shards, self._summed, self._given = shards, summed, change
        return super().average()

    def new_parts(self, parts: Sequence[Part]) -> Iterator[NewPart]:
        assert parts == self.grid.parts
        for shard in range(self._shards):
            yield from super().new_parts(self.grid.shard(shard, self._shards))

    def change(self, blocks: Sequence[Block]) -> ModelChange:
        if self._summed:
            return rule_of(self.settings.rule).change(SummedUpdates(self, blocks, self.everyone))
        return self._given or super().change(blocks)


def round_of(
    base: bytes,
    updates: Iterable[bytes],
    settings: Averaging | None = None,
    *,
    training: Training = TRAINING,
    elements: int = 1000,
    part_bytes: int = 1 << 30,
    norms: Mapping[str, float] | None = None,
    ages: Mapping[str, int] | None = None,
    trained_from: Mapping[str, int | None] | None = None,
    integer_changes: Mapping[str, int] | None = None,
    **options: Any,
) -> ShardedRound:
    """These updates, cut into small blocks, with what inspection found of each client's."""
    found = accepted(
        updates,
        norms=norms or {},
        ages=ages or {},
        trained_from=trained_from or {},
        integer_changes=integer_changes or {},
    )
    return ShardedRound(
        base, found, settings or Averaging(), training, elements=elements, part_bytes=part_bytes, **options
    )
