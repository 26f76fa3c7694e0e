"""What the functions have logged of a federation, in CloudWatch Logs."""

import heapq
from collections.abc import Iterator
from typing import Any

import msgspec

_FUNCTIONS = ("initiator", "averager")


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


class _Line(msgspec.Struct):
    """A line as cloud/log_lines.py writes it."""

    level: str
    message: str
    federation: str
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

    def of_function(function: str) -> Iterator[LogLine]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/fedgrass/{stack}-{function}",
            filterPattern=f"{{ {' && '.join(conditions)} }}",
            startTime=int(since * 1000),
        )
        for event in (event for page in pages for event in page["events"]):
            line = _parsed(event["message"])
            if line is not None and all(getattr(line, name) == value for name, value in asked.items()):
                yield LogLine(
                    at=event["timestamp"] / 1000,
                    function=function,
                    level=line.level,
                    text=line.message,
                    round=line.round,
                    thing=line.thing,
                    trace=line.trace,
                )

    return heapq.merge(*map(of_function, _FUNCTIONS), key=lambda line: line.at)


def _parsed(message: str) -> _Line | None:
    """None if it is not such a line: Lambda writes others between them, and each invocation one with its figures."""
    try:
        return msgspec.json.decode(message, type=_Line)
    except msgspec.DecodeError:
        return None
