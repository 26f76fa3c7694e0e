"""What Krum and multi-Krum make of updates, once they have chosen."""

from collections.abc import Callable, Sequence

import numpy as np

from cloud.averaging.blocks import Block
from cloud.averaging.combining import Change, GroupSums, Mean, Updates, matrices
from cloud.averaging.rules import robust
from cloud.averaging.weighing import Weighing


class Krum:
    """Of parameters the mean of the clients that were `chosen`. Their distances see nothing else: buffers and integers
    are the median of everyone's, as a chosen client may have any."""

    def __init__(
        self,
        updates: Callable[[Sequence[Block], Sequence[int]], Updates],
        blocks: Sequence[Block],
        chosen: Sequence[int],
        weighing: Weighing,
    ) -> None:
        parameters = updates([block.of_parameters for block in blocks], chosen)
        self._mean = Mean(GroupSums(parameters, weighing, weighing.total(chosen)), 0.0)
        everyone = range(len(weighing.weights))
        self._values = updates([block.of_values for block in blocks if block.n_values], everyone)
        self._weighing = weighing

    def next(self, block: Block) -> Change:
        """The change at the next block."""
        parameters, _ = self._mean.next(block.of_parameters)
        if not block.n_values:
            return parameters, np.empty(0)
        _, values = matrices(self._values, block.of_values, self._weighing)
        return parameters, robust.coordinate_median(values) if len(values) else np.zeros(block.n_values)
