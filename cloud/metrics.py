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

_STORED = ("stored_bytes", "junk_bytes")
"""What an averager says of what devices have stored is a metric as well; of which device, only the log says."""


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
    dictionary (federation, round, ...) goes into its line."""
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
        units = {"duration_s": "Seconds", "peak_memory_mb": "Megabytes"}
        counted = {name: properties.pop(name) for name in _STORED if name in properties}
        values |= counted
        units |= dict.fromkeys(counted, "Bytes")
        line = {
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [["function"]],
                        "Metrics": [{"Name": name, "Unit": units.get(name, "Count")} for name in values],
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
