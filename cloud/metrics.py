"""Lines that CloudWatch makes metrics of; and one of them, that of an invocation: its time, calls, peak memory.

They are in the embedded metric format, which takes no call and no agent:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

OF_EVERY_INVOCATION = {
    "duration_s": "Seconds",
    "aws_calls": "Count",
    "peak_memory_mb": "Megabytes",
    "errors": "Count",
    "unreadable_records": "Count",
}
"""The metrics of both functions, with their units. None has a dimension for a device: of which it is, only the log
says."""

OF_FUNCTION = {
    "averager": {
        "stored_bytes": "Bytes",
        "junk_bytes": "Bytes",
        "refused_updates": "Count",
        "aborted_rounds": "Count",
    },
    "initiator": {"stalled_federations": "Count"},
}
"""The metrics that one function has besides, of the invocations that know them."""

OF_FEDERATION = {
    "closed_rounds": "Count",
    "aborted_rounds": "Count",
    "round_s": "Seconds",
    "averaging_s": "Seconds",
    "accepted_updates": "Count",
    "failed_clients": "Count",
    "unanswered_clients": "Count",
    "update_bytes": "Bytes",
    "loss_before": "None",
    "accuracy_before": "None",
    "refused_updates": "Count",
    "late_updates": "Count",
}
"""The metrics of a federation. Each is paid for, so a device can't make one up: what else it measures of a model, and
which device it is, only the lines say."""

_UNITS = (
    OF_EVERY_INVOCATION | OF_FEDERATION | {name: unit for own in OF_FUNCTION.values() for name, unit in own.items()}
)


def embedded(namespace: str, dimension: tuple[str, str], values: Mapping[str, float], at: float) -> dict[str, Any]:
    """What a line has to have that CloudWatch is to make metrics of, `values` of one `dimension` at a time."""
    name, value = dimension
    definition = {
        "Namespace": namespace,
        "Dimensions": [[name]],
        "Metrics": [{"Name": metric, "Unit": _UNITS[metric]} for metric in values],
    }
    return {"_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [definition]}, name: value, **values}


def peak_memory_mb() -> float:
    """The most memory that this process ever held, in MiB. (getrusage would count what its parent held as well.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def measured(
    namespace: str, function: str, calls: Counter[str], waited_s: dict[str, float], left_out: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Measure an invocation, for which `calls`, `waited_s` and `left_out` begin empty; what is put into the yielded
    dictionary (federation, round, ...) goes into its line, as one of the function's metrics if it has its name."""
    calls.clear()
    waited_s.clear()
    left_out.clear()
    started = time.perf_counter()
    properties: dict[str, Any] = {}
    try:
        yield properties
    except Exception as error:
        properties["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        values = {
            "duration_s": time.perf_counter() - started,
            "aws_calls": calls.total(),
            "peak_memory_mb": peak_memory_mb(),
            "errors": int("error" in properties) + properties.get("failed_messages", 0),
            "unreadable_records": left_out.total(),
        }
        values |= {name: properties.pop(name) for name in OF_FUNCTION[function] if name in properties}
        line = {
            **embedded(namespace, ("function", function), values, time.time()),
            "calls": dict(sorted(calls.items())),
            "waited_s": dict(sorted(waited_s.items())),
            "left_out": dict(sorted(left_out.items())),
            **properties,
        }
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
