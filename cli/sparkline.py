"""A row of numbers as a row of bars, one character each."""

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
_MISSING = " "


def sparkline(values: Sequence[float | None], width: int) -> str:
    """At most so many bars, from the least value to the largest; each stands for as many values as the others, and is
    their mean. Where there is no value there is no bar."""
    count = min(width, len(values))
    parts = [values[len(values) * n // count : len(values) * (n + 1) // count] for n in range(count)]
    means = [_mean([value for value in part if value is not None]) for part in parts]
    found = [mean for mean in means if mean is not None]
    if not found:
        return _MISSING * count
    least, largest = min(found), max(found)
    return "".join(_MISSING if mean is None else _bar(mean, least, largest) for mean in means)


def _mean(values: Sequence[float]) -> float | None:
    return sum(value / len(values) for value in values) if values else None


def _bar(value: float, least: float, largest: float) -> str:
    span = largest / 2 - least / 2  # halves, since the difference may be infinite
    share = (value / 2 - least / 2) / span if span else 0.0
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]
