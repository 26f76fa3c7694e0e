"""What a server optimizer is: how an averaged difference changes the model. Pure functions over blocks of coordinates.

All are element by element, in operations that IEEE 754 rounds in one way: any split into blocks gives the same bits. A
difference is local minus global, so a step adds it. They are for parameters alone: statistics and integers take the
plain mean. The arithmetic is float64, the state is kept in float32.
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
State = tuple[NDArray[np.float32], ...]

_LARGEST = float(np.finfo(np.float32).max)


class Optimizer(msgspec.Struct, frozen=True, eq=False):
    """A server optimizer with its settings. `initial` is what it remembers of each coordinate: the names of its state's
    vectors, in their order, and what they are before the first step. `step` gives the new weights and state of a block,
    from the old ones and the averaged difference; nothing is changed in place."""

    initial: Mapping[str, float]
    step: Callable[[Values, Values, State], tuple[Values, State]]

    def initial_state(self, size: int) -> State:
        """The state before the first step, for `size` coordinates."""
        return tuple(np.full(size, value, np.float32) for value in self.initial.values())


def as_state(values: Values) -> NDArray[np.float32]:
    """Values as a state keeps them: what float32 can't hold as its largest number."""
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
