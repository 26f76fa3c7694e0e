"""Times in the five fields of cron: minute, hour, day of the month, month, day of the week. They are UTC, which has no
hour twice. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("weekday", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)

_DAYS = 8 * 366 + 1
"""Whatever comes at all comes within so many days: 29 February may be eight years away."""


class InvalidCronError(ValueError):
    """No times in cron's fields; the text names the field and what it may be."""


class Cron(msgspec.Struct, frozen=True):
    """Times: all that a minute, an hour and so on may be. If neither `day` nor `weekday` is any, one of them is enough,
    as cron has it."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def after(self, moment: float) -> float:
        """The first of these times after a moment, both in seconds since 1970-01-01 UTC."""
        begin = datetime.fromtimestamp(moment, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        return next(self._from(begin)).timestamp()

    def _from(self, begin: datetime) -> Iterator[datetime]:
        midnight = begin.replace(hour=0, minute=0)
        for number in range(_DAYS):
            day = midnight + timedelta(days=number)
            if not self._has(day):
                continue
            times = (day.replace(hour=h, minute=m) for h in sorted(self.hours) for m in sorted(self.minutes))
            yield from (time for time in times if time >= begin)

    def _has(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        is_day, is_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return is_day and is_weekday if self.any_day or self.any_weekday else is_day or is_weekday


def cron_of(text: str) -> Cron:
    """The times that a text has: numbers, names of months and weekdays (jan, mon), ranges a-b, steps a-b/n or */n, and
    lists of these; * is any.

    Raises:
        InvalidCronError: it has none, or some that never come, such as 30 February.
    """
    fields = text.lower().split()
    if len(fields) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        raise InvalidCronError(f"{text!r} has {len(fields)} fields: cron's are {names}, such as 0 2 * * mon-fri")
    values = [_values(field, *about) for field, about in zip(fields, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = values
    cron = Cron(
        minutes,
        hours,
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        any_day=fields[2].startswith("*"),
        any_weekday=fields[4].startswith("*"),
    )
    if next(cron._from(datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
        raise InvalidCronError(f"{text!r} never comes")
    return cron


def _values(field: str, name: str, least: int, most: int, words: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, has_step, step = part.partition("/")
        first, is_range, last = span.partition("-")
        try:
            begin = least if span == "*" else _number(first, words)
            end = most if span == "*" or (has_step and not is_range) else _number(last if is_range else first, words)
            every = _number(step, {}) if has_step else 1
        except ValueError:
            begin, end, every = least, least - 1, 1
        if not least <= begin <= end <= most or every < 1:
            raise InvalidCronError(
                f"{part!r} is no {name}: it is {least} to {most}, a range such as {least}-{most}, a step such as */5, "
                "or *"
            )
        found.update(range(begin, end + 1, every))
    return frozenset(found)


def _number(text: str, words: dict[str, int]) -> int:
    if text in words:
        return words[text]
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise ValueError(text)
    return int(text)
