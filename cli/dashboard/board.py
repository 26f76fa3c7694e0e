"""What a page shows at the moment, and what of it has changed since another one."""

import time
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from reporting.pictures.live.fleet import Row

T = TypeVar("T")


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page shows, or what of it is new: a sentence on how it stands, the HTML of sections by name, the rows
    of devices by name, and those that are `gone`."""

    headline: str | None = None
    sections: dict[str, str] = {}
    rows: dict[str, Row] = {}
    gone: tuple[str, ...] = ()


class Board:
    """A picture that changes. Each part knows at which version it did so last: whoever has seen one gets what is new,
    however many changes there were. Versions go on from one process to the next."""

    def __init__(self) -> None:
        self.version = time.time_ns() // 1_000_000
        self._headline: tuple[int, str] = (self.version, "")
        self._sections: dict[str, tuple[int, str]] = {}
        self._rows: dict[str, tuple[int, Row | None]] = {}

    def show(self, headline: str, sections: Mapping[str, str], rows: Mapping[str, Row] | None = None) -> bool:
        """This is shown from now on; sections that are not named stay as they are, and so do rows, if none are given.
        Returns whether anything is new."""
        version = self.version + 1
        headlines = _changed({"": self._headline}, {"": headline}, version)
        found = _changed(self._sections, sections, version)
        wanted: dict[str, Row | None] = {} if rows is None else dict.fromkeys(self._rows) | dict(rows)
        shown = _changed(self._rows, wanted, version)
        self._headline = headlines.get("", self._headline)
        self._sections |= found
        self._rows |= shown
        if not (headlines or found or shown):
            return False
        self.version = version
        return True

    def since(self, version: int) -> Picture:
        """What has changed after this version of it."""
        at, headline = self._headline
        rows = dict(_after(self._rows.items(), version))
        return Picture(
            headline=headline if at > version else None,
            sections=dict(_after(self._sections.items(), version)),
            rows={name: row for name, row in rows.items() if row is not None},
            gone=tuple(name for name, row in rows.items() if row is None),
        )


def _changed(before: Mapping[str, tuple[int, T]], now: Mapping[str, T], version: int) -> dict[str, tuple[int, T]]:
    return {name: (version, value) for name, value in now.items() if name not in before or before[name][1] != value}


def _after(parts: Iterable[tuple[str, tuple[int, T]]], version: int) -> Iterable[tuple[str, T]]:
    return ((name, value) for name, (at, value) in parts if at > version)
