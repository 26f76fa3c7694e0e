"""What the functions say of themselves, in their logs."""

import statistics
from collections import Counter

import msgspec

from sandbox.embedded_aws import EmbeddedAws
from sandbox.sandbox import Sandbox


class FunctionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a function's own log says of rounds 2 and later: the median wall time of one invocation that worked on a
    round, and the median over the rounds of its AWS calls, by kind."""

    invocation_s: float
    calls: dict[str, float]


class _Emitted(msgspec.Struct):
    timestamp_ms: int = msgspec.field(name="Timestamp")


class FunctionLine(msgspec.Struct):
    """What an invocation says of itself in its function's log (cloud/metrics.py). `waited_s` is how long averaging
    stood still for S3, by what for; `job` is there if it did one of the jobs of a round; the peak is that of the
    process, which may have served other invocations before. Of several `messages` that came as one batch, federation,
    round and job are those of the one that was dealt with last."""

    emitted: _Emitted = msgspec.field(name="_aws")
    duration_s: float
    calls: dict[str, int]
    peak_memory_mb: float
    messages: int = 1
    waited_s: dict[str, float] = {}
    federation: str = ""
    round: int = 0
    job: int | None = None

    @property
    def started_at(self) -> float:
        """When the invocation began, in seconds since 1970-01-01 UTC, to a millisecond."""
        return self.emitted.timestamp_ms / 1000 - self.duration_s


def function_log(aws: EmbeddedAws, function: str) -> list[str]:
    """All that a function has logged."""
    pages = aws.client("logs").get_paginator("filter_log_events")
    return [e["message"] for p in pages.paginate(logGroupName=f"/fedgrass/{function}") for e in p["events"]]


def function_lines(aws: EmbeddedAws, function: str) -> list[FunctionLine]:
    """The lines of all invocations of a function, in the order of their ends."""
    messages = function_log(aws, function)
    return [msgspec.json.decode(text, type=FunctionLine) for text in messages if text.startswith('{"_aws"')]


def function_figures(sandbox: Sandbox, function: str) -> FunctionFigures:
    """The figures of a function that the sandbox has run."""
    durations: list[float] = []
    calls: dict[int, Counter[str]] = {}
    for line in function_lines(sandbox.aws, function):
        if line.round >= 2:
            durations.append(line.duration_s)
            calls.setdefault(line.round, Counter()).update(line.calls)
    kinds = sorted({kind for counted in calls.values() for kind in counted})
    return FunctionFigures(
        invocation_s=statistics.median(durations or [0.0]),
        calls={kind: statistics.median(counted[kind] for counted in calls.values()) for kind in kinds},
    )
