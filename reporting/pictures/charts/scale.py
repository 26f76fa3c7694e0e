"""Where values lie along an axis, and which of them are named there."""

import math
from collections.abc import Iterable
from typing import NamedTuple

LENGTH = 1000
"""An axis is so long; whoever shows it stretches it."""

_LARGEST = 1e150
"""Values beyond are drawn here: differences of any two are finite."""
_FINEST = 1e-9
"""Differences that are smaller, beside the values, are none."""


class Scale(NamedTuple):
    """From `low` to `high`, with `ticks` at even distances."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> int:
        """Where a value lies, from 0 to LENGTH."""
        share = (_bounded(value) - self.low) / (self.high - self.low)
        return round(LENGTH * min(1.0, max(0.0, share)))


def scale_of(values: Iterable[float], *, about: int = 4, whole: bool = False) -> Scale:
    """A scale on which all values lie, from a round number to another one; `whole` ones if asked for."""
    low, high = _ends(values)
    step = _step((high - low) / about, whole=whole)
    first = math.floor(low / step + _FINEST)
    last = max(first + 1, math.ceil(high / step - _FINEST))
    ticks = tuple(place * step for place in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def tight_scale_of(values: Iterable[float], *, about: int = 5, whole: bool = False) -> Scale:
    """A scale from the least value to the largest, with round numbers as ticks, `whole` ones if asked for."""
    low, high = _ends(values)
    step = _step((high - low) / about, whole=whole)
    first, last = math.ceil(low / step - _FINEST), math.floor(high / step + _FINEST)
    return Scale(low, high, tuple(place * step for place in range(first, last + 1)))


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """The least and the largest value, made different if they are not."""
    bounded = [_bounded(value) for value in values] or [0.0]
    low, high = min(bounded), max(bounded)
    margin = _FINEST * max(abs(low), abs(high), _FINEST)
    if high - low > margin:
        return low, high
    room = abs(low) / 10
    return (low - room, high + room) if room > margin else (0.0, 1.0)


def _step(least: float, *, whole: bool) -> float:
    if whole and least <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if factor * power >= least * (1 - _FINEST))
    return math.ceil(step) if whole else step


def _bounded(value: float) -> float:
    return min(_LARGEST, max(-_LARGEST, value))
