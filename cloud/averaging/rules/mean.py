"""The mean of all updates, and the one that is weighted by their numbers of examples (McMahan et al., 2017)."""

import msgspec
import numpy as np

from cloud.averaging.blocks import Block
from cloud.averaging.rules.rule import BlockChange, ModelChange, RoundUpdates, Rule
from cloud.averaging.sums import GroupSums, StoredSums, SumsSpace


class Mean:
    """The weighted mean, from the sums of groups. Buffers and integers are clipped to the clients' range, which
    rounding may leave. `value_total` is the weight of the clients whose values count: without any, values stay as they
    are."""

    def __init__(self, sums: GroupSums | StoredSums, value_total: float) -> None:
        self._sums = sums
        self._value_total = value_total
        self._space = SumsSpace(has_last=sums.has_last)

    def next(self, block: Block) -> BlockChange:
        """The mean at the next block: valid until the next call."""
        if self._sums.groups == 1:
            (total,) = self._sums.of(block)
        else:
            total = self._space.of(block)
            for place, sums in enumerate(self._sums.of(block)):
                if place:
                    np.add(total.parameters, sums.parameters, out=total.parameters)
                    np.add(total.last, sums.last, out=total.last)
                    np.add(total.values, sums.values, out=total.values)
                    np.minimum(total.least, sums.least, out=total.least)
                    np.maximum(total.largest, sums.largest, out=total.largest)
                else:
                    np.copyto(total.all, sums.all)
        last = total.last if self._sums.has_last else None
        if not self._value_total:
            return BlockChange(total.parameters, np.zeros(block.n_values), last)
        mean = np.divide(total.values, self._value_total, out=total.values)
        return BlockChange(total.parameters, np.clip(mean, total.least, total.largest, out=mean), last)


def _change(updates: RoundUpdates) -> ModelChange:
    return Mean(updates.sums(), updates.weighing.value_total(updates.selected))


MEAN = Rule(sees="sums", change=_change, settings=frozenset({"variance_reduction"}))
WEIGHTED = msgspec.structs.replace(MEAN, counts_examples=True)
