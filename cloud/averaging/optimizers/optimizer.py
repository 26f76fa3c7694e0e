"""What a server optimizer is: how an averaged difference changes the model. Pure functions over blocks of coordinates.

All are element by element, in operations that IEEE 754 rounds in one way: any split into blocks gives the same bits. A
difference is local minus global, so a step adds it. They are for parameters alone: statistics and integers take the
plain mean. The arithmetic is float64, the vectors are kept in float32.
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Vectors = tuple[NDArray[np.float32], ...]

_LARGEST = float(np.finfo(np.float32).max)


class Optimizer(msgspec.Struct, frozen=True, eq=False):
    """A server optimizer with its settings. `vectors` is what it remembers of each coordinate: their names, in their
    order, and what is in them before the first step. `step` gives the new weights and vectors of a block, from the old
    ones and the averaged difference; nothing is changed in place."""

    vectors: Mapping[str, float]
    step: Callable[[Values, Values, Vectors], tuple[Values, Vectors]]

    def initial_vectors(self, size: int) -> Vectors:
        """The vectors before the first step, for `size` coordinates."""
        return tuple(np.full(size, value, np.float32) for value in self.vectors.values())


def as_vector(values: Values) -> NDArray[np.float32]:
    """Values as a vector keeps them: what float32 can't hold as its largest number."""
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
