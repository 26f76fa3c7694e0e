"""How long the arithmetic of a round takes for each coordinate of a model: encodings, rules, server optimizers.

`OPENBLAS_NUM_THREADS=1 python -m benchmarks.arithmetic` measures each alone, on one core, over a block of coordinates.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, get_args

import msgspec
import numpy as np
import typer

from cloud.averaging import robust
from cloud.averaging.optimizers import optimizer_of
from cloud.settings import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, ServerOptimizer
from protocol.encodings import decode, encode
from protocol.messages import Encoding

_BLOCK = 1 << 16
_OPTIMIZERS: tuple[ServerOptimizer, ...] = (FedAvg(), FedAvgM(), FedAdagrad(), FedAdam(), FedYogi())
_REPEATS = 5


class Row(msgspec.Struct, frozen=True):
    """What one coordinate takes; of `clients` together for a rule, of one update otherwise."""

    what: str
    clients: int
    ns: float


def main(
    clients: Annotated[
        list[int] | None, typer.Option(help="Numbers of clients for the rules; give it repeatedly.")
    ] = None,
) -> None:
    """Print nanoseconds a coordinate as JSON."""
    rows = [*_encodings(), *_optimizers()]
    for count in clients or [10, 40, 160]:
        rows += _rules(count)
    for row in rows:
        print(f"{row.what}, {row.clients} clients: {row.ns:.2f} ns a coordinate")
    sys.stdout.write(msgspec.json.encode({"rows": rows}).decode() + "\n")


def _encodings() -> Iterator[Row]:
    delta = np.random.default_rng(0).standard_normal(16 * _BLOCK, np.float32)
    out = np.empty(_BLOCK, np.float32)
    for encoding in get_args(Encoding):
        encoding_all = functools.partial(encode, delta, encoding)
        yield Row(f"encode {encoding}", 1, _ns(encoding_all, len(delta)))
        block = encode(delta[:_BLOCK], encoding)
        decoding = functools.partial(decode, encoding, block.values.data, out, 0, block.scales.data)
        yield Row(f"decode {encoding}", 1, _ns(decoding, _BLOCK))


def _optimizers() -> Iterator[Row]:
    weights, delta = np.random.default_rng(0).standard_normal((2, _BLOCK))
    for settings in _OPTIMIZERS:
        optimizer = optimizer_of(settings)
        step = functools.partial(optimizer.step, weights, delta, optimizer.initial_vectors(_BLOCK))
        yield Row(settings.name, 1, _ns(step, _BLOCK))


def _rules(clients: int) -> list[Row]:
    values = np.random.default_rng(0).standard_normal((clients, _BLOCK), np.float32)
    norms = np.sqrt(np.square(values, dtype=np.float64).sum(axis=1))
    return [
        Row("median", clients, _ns(functools.partial(robust.coordinate_median, values), _BLOCK)),
        Row("trimmed mean", clients, _ns(functools.partial(robust.trimmed_mean, values, 0.1), _BLOCK)),
        Row("Krum's inner products", clients, _ns(functools.partial(robust.gram, values, norms), _BLOCK)),
    ]


def _ns(work: Callable[[], object], coordinates: int) -> float:
    """The median of some runs, after one that warms up."""
    work()
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - started) / coordinates)
    return statistics.median(times)


if __name__ == "__main__":
    typer.run(main)
