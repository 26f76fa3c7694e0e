"""A round's updates in S3, as its rule sees them (`cloud.averaging.rules.rule.RoundUpdates`)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cloud.averager.work.inputs import Inputs
from cloud.averaging.blocks import Block
from cloud.averaging.sums import GroupSums, StoredSums
from cloud.averaging.update_rows import Updates
from cloud.averaging.update_tensors import base_values, read_updates
from cloud.services import Services
from fedgrass.policies import Update
from protocol.tensors import Array


class StoredUpdates:
    """The updates at some blocks. The rule has `selected` clients, and is given the `stored` sums, if other invocations
    have written them."""

    def __init__(
        self,
        services: Services,
        inputs: Inputs,
        blocks: Sequence[Block],
        selected: Sequence[int],
        stored: StoredSums | None = None,
    ) -> None:
        self._services = services
        self._inputs = inputs
        self.settings = inputs.record.settings.averaging
        self.weighing = inputs.weighing
        self.blocks = blocks
        self.selected = selected
        self._stored = stored

    def of(self, blocks: Sequence[Block], clients: Sequence[int]) -> Updates:
        """What some clients have at some blocks."""
        return self._inputs.updates(self._services, blocks, clients)

    def sums(self) -> GroupSums | StoredSums:
        """The weighted sums of all clients at the blocks."""
        if self._stored is not None:
            return self._stored
        return GroupSums(self.of(self.blocks, self.selected), self.weighing, self.weighing.total(self.selected))

    def whole(self) -> Iterator[Update]:
        """The updates as a user's function sees them."""
        rebasing = self._inputs.rebasing(self._services, self.blocks, self.selected)
        models = rebasing.reader.whole(self.blocks) if rebasing else ()
        return read_updates(self._inputs.layout, self._inputs.reader(self._services), self._inputs.sources, models)

    def base(self) -> dict[str, Array]:
        """The present model's values, by tensor."""
        return base_values(self._services.models.get(self._inputs.record.base))

    def custom_average(self) -> Callable[..., Any]:
        """The user's `average`."""
        average: Callable[..., Any] = self._services.policy(self._inputs.record.settings, "average")
        return average
