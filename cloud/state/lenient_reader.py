"""Reading lists of records: one that can't be read is left out, named and counted; it never stands in another's way."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from cloud.state.records import CorruptRecordError, from_item

_log = logging.getLogger(__name__)

_Record = TypeVar("_Record", bound=msgspec.Struct)


class Reader:
    """Reads items. `left_out` counts those that could not be read, by kind of record."""

    def __init__(self, left_out: Counter[str] | None = None) -> None:
        self._left_out = Counter() if left_out is None else left_out

    def records(self, items: Iterable[Mapping[str, Any]], kind: type[_Record]) -> Iterator[_Record]:
        """The records of these items, but for those that can't be read."""
        for item in items:
            try:
                yield from_item(item, kind)
            except CorruptRecordError as error:
                self.leave_out(error, kind)

    def leave_out(self, error: CorruptRecordError, kind: type[msgspec.Struct]) -> None:
        """Name and count a record that can't be read."""
        self._left_out[kind.__name__] += 1
        _log.error("left out: %s", error)
