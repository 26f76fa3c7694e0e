"""Where each client stands in a random order of its fleet, so that a few can be drawn without reading all."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PLACES = 1 << 64
_DIGITS = 16


class Window(NamedTuple):
    """The places from `first` to `last`, both included."""

    first: str
    last: str


def place_of(federation: str, thing: str) -> str:
    """A client's place, 16 hexadecimal digits: as good as random, and always the same."""
    return hashlib.sha256(f"{federation}/{thing}".encode()).hexdigest()[:_DIGITS]


def window(start: int, width: int) -> Window:
    """So many places from one on."""
    return Window(f"{start:0{_DIGITS}x}", f"{start + width - 1:0{_DIGITS}x}")


def within(federation: str, things: Iterable[str], windows: Sequence[Window]) -> list[str]:
    """The things whose places are in one of these windows."""
    placed = ((thing, place_of(federation, thing)) for thing in things)
    return [thing for thing, place in placed if any(first <= place <= last for first, last in windows)]
