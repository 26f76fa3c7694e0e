"""What is made of the numbers of all clients at each coordinate, by a function of them. It takes no weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.averaging.blocks import Block
from cloud.averaging.rules.rule import BlockChange, Numbers, RoundUpdates
from cloud.averaging.update_rows import matrices

Combine = Callable[[NDArray[Any]], Numbers]
"""From [clients, coordinates] to [coordinates]."""


class CoordinateWise:
    """The change that a function makes of each coordinate."""

    def __init__(self, updates: RoundUpdates, combine: Combine) -> None:
        self._updates = updates.of(updates.blocks, updates.selected)
        self._weighing = updates.weighing
        self._combine = combine

    def next(self, block: Block) -> BlockChange:
        """The change at the next block."""
        parameters, values = matrices(self._updates, block, self._weighing)
        if not len(values):
            return BlockChange(self._combine(parameters), np.zeros(block.n_values))
        # The mean of what was not trimmed may be rounded to less than its least value.
        clipped = np.clip(self._combine(values), values.min(axis=0), values.max(axis=0))
        return BlockChange(self._combine(parameters), clipped)
