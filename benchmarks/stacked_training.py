"""How fast many clients can be trained at once on this machine, and why not faster.

`python -m benchmarks.stacked_training` takes a step of SGD of the perceptron 784-128-64-10 with 32 examples as
`simulation/vectorized` takes it in one thread, for groups of some sizes, beside the same step of plain PyTorch.
`products_us` is how long the same arithmetic takes at the rate of large matrix products: no way of training is faster.
Times are a thread's own, and medians: other work on the machine slows them less than it slows clocks; rates are the
best of many tries. The last line is the figures as JSON.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import torch
from torch import nn

from benchmarks.simulators import plain
from benchmarks.simulators.cases import BATCH, LEARNING_RATE, MOMENTUM
from protocol.messages import Training
from simulation.vectorized.plans import Batches, Examples, plan
from simulation.vectorized.program import record, start_of
from simulation.vectorized.training import cross_entropy, train

GROUPS = (1, 2, 4, 7, 14, 28)
EXAMPLES = 600
STEPS = -(-EXAMPLES // BATCH)
REPETITIONS = 7
_LARGE = 512
_TRIES = 300

FLOP = 2 * BATCH * (2 * (784 * 128 + 128 * 64 + 64 * 10) + 128 * 64 + 64 * 10)
"""Of a step: forward, and backward to all weights and to the inputs of all layers but the first."""


class Group(msgspec.Struct, frozen=True):
    """A step of one client, of so many that are trained at once: what all of it takes, what the two large products take
    of stacked models, and what they take one by one."""

    clients: int
    step_us: float
    stacked_products_us: float
    single_products_us: float


class Figures(msgspec.Struct, frozen=True):
    """What is printed."""

    gflop_per_s: float
    gflop_per_s_two_threads: float
    gbyte_per_s: float
    products_us: float
    plain_step_us: float
    groups: list[Group]


def median_s(work: Callable[[], object], times: int = 1) -> float:
    """How long it takes this thread to do this so many times, after it was done once."""
    work()
    found = []
    for _ in range(REPETITIONS):
        start = time.thread_time()
        for _ in range(times):
            work()
        found.append(time.thread_time() - start)
    return statistics.median(found)


def product_rate(threads: int) -> float:
    """GFLOP/s of large products, by the clock, one in each thread."""

    def work(place: int) -> None:
        torch.mm(one, other, out=results[place])

    one, other = torch.randn(_LARGE, _LARGE), torch.randn(_LARGE, _LARGE)
    results = [torch.empty(_LARGE, _LARGE) for _ in range(threads)]
    fastest = math.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_TRIES):
            start = time.perf_counter()
            list(pool.map(work, range(threads)))
            fastest = min(fastest, time.perf_counter() - start)
    return threads * 2 * _LARGE**3 / fastest / 1e9


def group(clients: int, model: nn.Module) -> Group:
    """One size."""
    settings = Training(batch_size=BATCH, learning_rate=LEARNING_RATE, momentum=MOMENTUM, epochs=1)
    examples = [
        Examples(torch.randn(EXAMPLES, 784), torch.randint(0, 10, (EXAMPLES,)), torch.arange(EXAMPLES))
        for _ in range(clients)
    ]
    plans = [plan(one, settings) for one in examples]
    start = start_of(model)
    batches = Batches(plans, BATCH, 10, settings.logit_calibration)
    inputs, shares, _ = batches.at(0)
    program = record(model, cross_entropy, start.stack(clients), [inputs, shares, batches.margins], MOMENTUM)
    steps = clients * STEPS
    step_s = median_s(lambda: train(program, start, plans, settings, BATCH, 10)) / steps
    weights, gathered = torch.randn(clients, 128, 784), torch.zeros(clients, 128, 784)
    deltas = torch.randn(clients, BATCH, 128)

    def stacked() -> None:
        torch.bmm(inputs, weights.transpose(1, 2))
        gathered.baddbmm_(deltas.transpose(1, 2), inputs, beta=MOMENTUM)

    def single() -> None:
        for client in range(clients):
            torch.mm(inputs[client], weights[client].t())
            gathered[client].addmm_(deltas[client].t(), inputs[client], beta=MOMENTUM)

    return Group(
        clients,
        step_s * 1e6,
        median_s(stacked, STEPS) / steps * 1e6,
        median_s(single, STEPS) / steps * 1e6,
    )


def main() -> None:
    """Print the figures as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = plain.build_model()
    data = torch.randn(EXAMPLES, 784), torch.randint(0, 10, (EXAMPLES,))
    plain_s = median_s(lambda: plain.train(model, data, None)) / STEPS
    many = torch.zeros(1 << 26)
    rate = product_rate(1)
    figures = Figures(
        gflop_per_s=rate,
        gflop_per_s_two_threads=product_rate(2),
        gbyte_per_s=2 * many.nbytes / median_s(lambda: many.add_(1.0)) / 1e9,
        products_us=FLOP / rate / 1e3,
        plain_step_us=plain_s * 1e6,
        groups=[group(clients, plain.build_model()) for clients in GROUPS],
    )
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
