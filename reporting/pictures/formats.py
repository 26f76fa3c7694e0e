"""Numbers as people read them."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float | None) -> str:
    """A metric, or another number: with four digits that count."""
    if value is None:
        return "not finite"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def seconds(value: float | None) -> str:
    """A time, in the unit that suits it."""
    if value is None:
        return ""
    if value == 0:
        return "0 s"
    for most, unit, name in ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if abs(value) < most:
            return f"{value / unit:.3g} {name}"
    return f"{value / 86_400:,.4g} d"


def size(value: float | None) -> str:
    """A number of bytes."""
    if value is None:
        return ""
    power = min(len(_UNITS) - 1, int(math.log10(max(1.0, abs(value))) / 3))
    return f"{value / 1000**power:.3g} {_UNITS[power]}"


def dollars(value: float) -> str:
    """An amount, however small."""
    return f"${value:,.2f}" if abs(value) >= 1 else f"${float(f'{value:.2g}'):.12f}".rstrip("0").rstrip(".")


def moment(since_1970_s: float | None) -> str:
    """A time of day, in UTC."""
    if since_1970_s is None:
        return ""
    try:
        return datetime.fromtimestamp(since_1970_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # no year has it
        return number(since_1970_s)


def counted(count: int, noun: str) -> str:
    """Such as "1 round" or "1,000 devices"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def spans(numbers: Sequence[int], most: int = 6) -> str:
    """Numbers that ascend, such as "1-3, 7"; of many spans, the first ones."""
    found: list[list[int]] = []
    for one in numbers:
        if found and one <= found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    told = [str(first) if first == last else f"{first}-{last}" for first, last in found[:most]]
    return ", ".join(told) + (" and more" if len(found) > most else "")
