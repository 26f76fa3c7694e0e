"""Krum and multi-Krum (Blanchard et al., 2017): the mean of the updates that are nearest to the others. Krum takes one,
multi-Krum all but `byzantine`."""

import msgspec
import numpy as np

from cloud.averaging import robust
from cloud.averaging.blocks import Block
from cloud.averaging.rules.mean import Mean
from cloud.averaging.rules.rule import BlockChange, Least, Numbers, RoundUpdates, Rule
from cloud.averaging.sums import GroupSums
from cloud.averaging.update_rows import matrices
from cloud.settings import Averaging


class MeanOfSelected:
    """Of parameters the mean of the clients that were selected. Their distances see nothing else: buffers and integers
    are the median of everyone's, as a selected client may have any."""

    def __init__(self, updates: RoundUpdates) -> None:
        self._weighing = updates.weighing
        blocks, selected = updates.blocks, updates.selected
        parameters = updates.of([block.of_parameters for block in blocks], selected)
        self._mean = Mean(GroupSums(parameters, self._weighing, self._weighing.total(selected)), 0.0)
        everyone = range(len(self._weighing.weights))
        self._values = updates.of([block.of_values for block in blocks if block.n_values], everyone)

    def next(self, block: Block) -> BlockChange:
        """The change at the next block."""
        parameters = self._mean.next(block.of_parameters).parameters
        if not block.n_values:
            return BlockChange(parameters, np.empty(0))
        _, values = matrices(self._values, block.of_values, self._weighing)
        return BlockChange(parameters, robust.coordinate_median(values) if len(values) else np.zeros(block.n_values))


def _one(distances: Numbers, settings: Averaging) -> list[int]:
    return robust.krum(distances, settings.byzantine)


def _all_but_byzantine(distances: Numbers, settings: Averaging) -> list[int]:
    return robust.krum(distances, settings.byzantine, max(1, len(distances) - settings.byzantine))


KRUM = Rule(
    sees="coordinates",
    is_robust=True,
    settings=frozenset({"byzantine"}),
    # With fewer it guarantees nothing (section 4).
    least=Least(lambda settings: 2 * settings.byzantine + 3, "byzantine", "clients, 2 * byzantine + 3"),
    select=_one,
    change=MeanOfSelected,
)
MULTI_KRUM = msgspec.structs.replace(KRUM, select=_all_but_byzantine)
