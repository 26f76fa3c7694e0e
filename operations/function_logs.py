"""What the functions have logged of a federation, in CloudWatch Logs."""

import heapq
from collections.abc import Iterator
from typing import Any

import msgspec

from operations.pages import listed

_FUNCTIONS = ("initiator", "averager")
_ERROR_PATTERNS = ('{ $.level = "ERROR" }', '"[ERROR]"', '"Task timed out"')


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a function's log, and what it is about. `trace` is that of the error that it tells of; `at` is in
    seconds since 1970-01-01 UTC."""

    at: float
    function: str
    level: str
    text: str
    round: int | None = None
    thing: str | None = None
    trace: str | None = None


class _Line(msgspec.Struct, kw_only=True):
    """A line as cloud/log_lines.py writes it, and what it is about, as far as it is about anything."""

    level: str
    message: str
    federation: str | None = None
    round: int | None = None
    thing: str | None = None
    trace: str | None = None


def lines_of(
    logs: Any,
    stack: str,
    federation: str,
    since: float,
    *,
    thing: str | None = None,
    round_number: int | None = None,
) -> Iterator[LogLine]:
    """The lines of both functions' logs that are about this federation, and about this round and thing if they are
    given, in the order of their times. They are read as they are asked for. `logs` is a client of CloudWatch Logs."""
    wanted = {"federation": federation, "thing": thing, "round": round_number}
    asked = {name: value for name, value in wanted.items() if value is not None}
    conditions = [f"$.{name} = {msgspec.json.encode(value).decode()}" for name, value in asked.items()]
    pattern = f"{{ {' && '.join(conditions)} }}"

    def of_function(function: str) -> Iterator[LogLine]:
        for at, message in _messages(logs, stack, function, pattern, since):
            line = _parsed(message)
            if line is not None and all(getattr(line, name) == value for name, value in asked.items()):
                yield LogLine(
                    at=at,
                    function=function,
                    level=line.level,
                    text=line.message,
                    round=line.round,
                    thing=line.thing,
                    trace=line.trace,
                )

    return heapq.merge(*map(of_function, _FUNCTIONS), key=lambda line: line.at)


def errors_of(logs: Any, stack: str, function: str, since: float) -> Iterator[LogLine]:
    """The errors that a function has logged, and those that Lambda tells of it: it can't be imported, or takes too
    long. In the order of their times."""

    def found(pattern: str) -> Iterator[LogLine]:
        for at, message in _messages(logs, stack, function, pattern, since):
            if told := _error_in(message):
                text, trace = told
                yield LogLine(at=at, function=function, level="ERROR", text=text, trace=trace)

    unique = {line for pattern in _ERROR_PATTERNS for line in found(pattern)}
    yield from sorted(unique, key=lambda line: line.at)


def _messages(logs: Any, stack: str, function: str, pattern: str, since: float) -> Iterator[tuple[float, str]]:
    """What a function has written that fits a pattern, and when."""
    group, start_ms = f"/fedgrass/{stack}-{function}", int(since * 1000)
    asked = {"logGroupName": group, "filterPattern": pattern, "startTime": start_ms}
    for event in listed(logs, "filter_log_events", "events", **asked):
        yield event["timestamp"] / 1000, event["message"]


def _error_in(message: str) -> tuple[str, str | None] | None:
    line = _parsed(message)
    if line is not None:
        return (line.message, line.trace) if line.level == "ERROR" else None
    is_told = not message.startswith("{") and ("[ERROR]" in message or "Task timed out" in message)
    return (" ".join(message.split()), None) if is_told else None


def _parsed(message: str) -> _Line | None:
    """None if it is not such a line: Lambda writes others between them, and each invocation one with its figures."""
    try:
        return msgspec.json.decode(message, type=_Line)
    except msgspec.DecodeError:
        return None
