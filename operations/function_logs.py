"""What the functions have logged of a federation, in CloudWatch Logs."""

import heapq
import re
from collections.abc import Iterator
from typing import Any

import msgspec

_FUNCTIONS = ("initiator", "averager")

_FRAME = re.compile(r"\[(?P<level>[A-Z]+)\]\t\S+\t\S*\t(?P<text>.*)", re.DOTALL)
"""What Python's runtime in Lambda writes: level, time, request, text."""

_ABOUT = re.compile(
    r"federation=(?P<federation>\S+)(?: round=(?P<round>\d+))?(?: thing=(?P<thing>[\w:-]+?))?(?=:?(?:\s|$))"
)
"""How a line begins that is of a federation. What devices have said comes later in it."""


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a function's log, or several that were written at once, as a trace is. `at` is in seconds since
    1970-01-01 UTC."""

    at: float
    function: str
    level: str
    text: str


def lines_of(
    logs: Any,
    stack: str,
    federation: str,
    since: float,
    *,
    thing: str | None = None,
    round_number: int | None = None,
) -> Iterator[LogLine]:
    """The lines of both functions' logs that begin with this federation, and with this round and thing if they are
    given, in the order of their times. They are read as they are asked for. `logs` is a client of CloudWatch Logs."""
    wanted = {"federation": federation, "thing": thing, "round": None if round_number is None else str(round_number)}
    asked = {name: value for name, value in wanted.items() if value is not None}

    def of_function(function: str) -> Iterator[LogLine]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/fedgrass/{stack}-{function}",
            filterPattern=" ".join(f'"{name}={value}"' for name, value in asked.items()),
            startTime=int(since * 1000),
        )
        for event in (event for page in pages for event in page["events"]):
            line = _FRAME.fullmatch(event["message"])
            about = line and _ABOUT.match(line["text"])
            if line and about and all(about[name] == value for name, value in asked.items()):
                at, text = event["timestamp"] / 1000, line["text"].rstrip()
                yield LogLine(at=at, function=function, level=line["level"], text=text)

    return heapq.merge(*map(of_function, _FUNCTIONS), key=lambda line: line.at)
