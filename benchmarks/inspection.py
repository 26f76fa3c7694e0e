"""How long the averager takes to inspect an update, and how much memory beside the update's own bytes.

`python -m benchmarks.inspection` inspects updates to torchvision's ResNet-18 (46.8 MB in float32) in each encoding.
"""

import statistics
import sys
import time
import tracemalloc
from typing import Annotated, get_args

import msgspec
import torch
import torchvision
import typer

from cloud.averager.responses.inspection import inspect
from components.client.trainer.model.state_dict import schema
from protocol.messages import Encoding
from sandbox.example_updates import ExampleUpdate, example_update


def main(
    times: Annotated[int, typer.Option(min=1, help="How often each is inspected; the median is taken.")] = 11,
) -> None:
    """Print bytes, seconds and peak memory in MB, for each encoding, as JSON."""
    with torch.device("meta"):
        tensors = schema(torchvision.models.resnet18(weights=None))
    rows = []
    for encoding in get_args(Encoding):
        update = example_update(tensors, encoding)
        seconds = statistics.median(_seconds(update) for _ in range(times))
        row = {
            "encoding": encoding,
            "bytes": len(update.data),
            "seconds": seconds,
            "peak_mb": _peak_bytes(update) / 1e6,
        }
        print(f"{encoding}: {row['bytes']} bytes in {seconds:.4f} s, {row['peak_mb']:.2f} MB beside them")
        rows.append(row)
    sys.stdout.write(msgspec.json.encode({"rows": rows}).decode() + "\n")


def _seconds(update: ExampleUpdate) -> float:
    started = time.perf_counter()
    inspect(update.data, update.name, update.record, update.layout)
    return time.perf_counter() - started


def _peak_bytes(update: ExampleUpdate) -> int:
    """The most that an inspection holds at once; numpy tells tracemalloc of its arrays."""
    tracemalloc.start()
    inspect(update.data, update.name, update.record, update.layout)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


if __name__ == "__main__":
    typer.run(main)
