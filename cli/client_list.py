"""The clients of a federation as a list: which of them, in which order, and what is shown of each."""

import fnmatch
import heapq
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from cli.table import Table
from cloud.state.records import ClientRecord

Value = str | float | None
Condition = Callable[[ClientRecord, float], bool]
"""Whether something holds of a client at a time."""

_DURATIONS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"K": 2.0**10, "M": 2.0**20, "G": 2.0**30}
_NUMBER = re.compile(r"(\d{1,16}(?:\.\d{1,9})?)([a-zA-Z]?)", re.ASCII)


class InvalidConditionError(ValueError):
    """No condition on clients, or no column of theirs."""


def _duration(seconds: float) -> str:
    """In the largest unit of which there are two at least."""
    unit = next((name for name, length in reversed(_DURATIONS.items()) if seconds >= 2 * length), "s")
    return f"{seconds:.1f}s" if unit == "s" else f"{seconds / _DURATIONS[unit]:.0f}{unit}"


def _whole(number: float) -> str:
    return f"{number:.0f}"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of a client. `of` gives its value at a time, None if that is not known. Of numbers, `shown`
    is how people read them, and `units` are those that they may be written with; texts have neither."""

    of: Callable[[ClientRecord, float], Value]
    shown: Callable[[float], str] = _whole
    units: Mapping[str, float] | None = None

    def cell(self, client: ClientRecord, now: float) -> str:
        """The cell of a table."""
        value = self.of(client, now)
        if value is None or isinstance(value, str):
            return value or ""
        return self.shown(value)


COLUMNS: dict[str, Column] = {
    "client": Column(of=lambda client, _: client.thing),
    "version": Column(of=lambda client, _: client.component_version),
    "nucleus": Column(of=lambda client, _: client.nucleus),
    "architecture": Column(of=lambda client, _: client.architecture),
    "memory": Column(
        of=lambda client, _: client.memory_bytes, shown=lambda size: f"{size / _SIZES['G']:.1f}G", units=_SIZES
    ),
    "examples": Column(of=lambda client, _: client.examples, units={}),
    "seen": Column(
        of=lambda client, now: None if client.last_seen is None else max(0.0, now - client.last_seen),
        shown=lambda age_s: f"{_duration(age_s)} ago",
        units=_DURATIONS,
    ),
    "turnaround": Column(of=lambda client, _: client.turnaround_s, shown=_duration, units=_DURATIONS),
    "download": Column(of=lambda client, _: client.download_s, shown=_duration, units=_DURATIONS),
    "train": Column(of=lambda client, _: client.train_s, shown=_duration, units=_DURATIONS),
    "upload": Column(of=lambda client, _: client.upload_s, shown=_duration, units=_DURATIONS),
    "missed": Column(of=lambda client, _: client.missed, units={}),
    "reason": Column(of=lambda client, _: client.last_reason),
}


def condition(text: str) -> Condition:
    """A condition such as `version=1.2.*`, `missed=3..`, `memory=..2G`, `seen=1d..`; or `reason=`, that there is none.

    Raises:
        InvalidConditionError: see there.
    """
    name, is_one, wanted = text.partition("=")
    if not is_one:
        raise InvalidConditionError(f"{text!r} is no condition: write COLUMN=VALUE, such as missed=3..")
    column = column_of(name)
    if not wanted:
        return lambda client, now: column.of(client, now) is None
    if column.units is None:
        return lambda client, now: fnmatch.fnmatchcase(str(column.of(client, now) or ""), wanted)
    first, is_range, last = wanted.partition("..")
    least = 0.0 if is_range and not first else _number(first, column.units, text)
    most = least if not is_range else _number(last, column.units, text) if last else math.inf

    def is_within(client: ClientRecord, now: float) -> bool:
        value = column.of(client, now)
        return isinstance(value, int | float) and least <= value <= most

    return is_within


def column_of(name: str) -> Column:
    """The column of this name.

    Raises:
        InvalidConditionError: there is none.
    """
    try:
        return COLUMNS[name]
    except KeyError:
        raise InvalidConditionError(f"clients have no column {name!r}: there are {', '.join(COLUMNS)}") from None


def _number(text: str, units: Mapping[str, float], of: str) -> float:
    found = _NUMBER.fullmatch(text)
    if found is None or (found[2] and found[2] not in units):
        behind = f", with {', '.join(units)} or nothing behind it" if units else ""
        raise InvalidConditionError(f"{text!r} in {of!r} is no number{behind}")
    return float(found[1]) * units.get(found[2], 1.0)


def chosen(
    clients: Iterable[ClientRecord],
    conditions: Sequence[Condition],
    limit: int,
    now: float,
    sort: str | None = None,
    *,
    descending: bool = False,
) -> list[ClientRecord]:
    """At most so many of the clients of which all conditions hold: the first ones as they come, or by a column, where
    those of which it is not known come last. No more of them are kept, however many there are."""
    found = (client for client in clients if all(holds(client, now) for holds in conditions))
    if sort is None:
        return list(islice(found, limit))
    column = column_of(sort)

    def key(client: ClientRecord) -> tuple[bool, Value]:
        value = column.of(client, now)
        unknown: Value = "" if column.units is None else 0.0
        return (value is None) != descending, unknown if value is None else value

    return heapq.nlargest(limit, found, key=key) if descending else heapq.nsmallest(limit, found, key=key)


def table_of(clients: Sequence[ClientRecord], expelled: Sequence[str], now: float) -> Table:
    """A row for each client. Of one that is expelled, that is the reason; another is told with its round."""

    def row(client: ClientRecord) -> tuple[str, ...]:
        *cells, reason = (column.cell(client, now) for column in COLUMNS.values())
        if client.thing in expelled:
            reason = "expelled"
        elif reason:
            reason = f"round {client.last_round}: {reason}"
        return (*cells, reason)

    texts = frozenset(name for name, column in COLUMNS.items() if column.units is None)
    return Table(columns=tuple(COLUMNS), rows=[row(client) for client in clients], texts=texts)
