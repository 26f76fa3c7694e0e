"""One structured line an invocation: its time, its AWS calls, its peak memory, as CloudWatch metrics.

The line is in the embedded metric format, so that CloudWatch makes metrics of it with no call and no agent:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

NAMESPACE = "fedgrass"

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


def peak_memory_mb() -> float:
    """The most memory that this process ever held, in MiB. (getrusage would count what its parent held as well.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def measured(
    function: str, calls: Counter[str], waited_s: dict[str, float], left_out: Counter[str]
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
        units = OF_EVERY_INVOCATION | OF_FUNCTION[function]
        values |= {name: properties.pop(name) for name in OF_FUNCTION[function] if name in properties}
        line = {
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [["function"]],
                        "Metrics": [{"Name": name, "Unit": units[name]} for name in values],
                    }
                ],
            },
            "function": function,
            **values,
            "calls": dict(sorted(calls.items())),
            "waited_s": dict(sorted(waited_s.items())),
            "left_out": dict(sorted(left_out.items())),
            **properties,
        }
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
