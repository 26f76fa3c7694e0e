"""How many rounds a second are simulated, beside Flower and a plain loop.

`python -m benchmarks.simulate` has the same federations simulated by a loop in plain PyTorch, in one thread and without
a framework (`bare`), by what `fedgrass simulate` runs with two of its backends, and by Flower's simulation with Ray
(`make bench-peers` installs it; without it its figures are null). The model is a perceptron, 784-128-64-10; clients do
the same steps of SGD with momentum everywhere. Contenders are processes of their own and take turns. A figure is the
median of all rounds; where data is loaded or processes are started in the first round of a turn, that is left out. All
have to learn, or no figure is given.

`start_s` is from the start of a `fedgrass simulate` process to the end of its first round. `thousand` is a federation
of 1,000 clients. The last line is the figures as JSON. With --data DIR, clients get MNIST's digits from IDX files in
there in place of made-up ones.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contenders.process import REPOSITORY, is_present, serving
from benchmarks.simulators.cases import DATA, PROJECT, Case, Digits, write_case
from benchmarks.simulators.serve import CONTENDERS
from cli.datasets import idx

CASES = (
    Case("full_epoch", clients=100, examples=600),
    Case("label_skew", clients=40, examples=100, steps=3, labels=2),
)
THOUSAND = Case("thousand", clients=1000, examples=100, steps=3, labels=2)
ROUNDS = {"full_epoch": 2, "label_skew": 20, "thousand": 3}
REPETITIONS = 3
FLOWER_REPETITIONS = 2
"""It takes half a minute to start."""

_LEARNED = 0.5


class DifferentWorkError(Exception):
    """A contender has not learned, so that its time says nothing."""


class Figures(msgspec.Struct, frozen=True):
    """Of one case. A peer that is not installed has none."""

    bare_rounds_per_s: float
    loop_rounds_per_s: float
    vectorized_rounds_per_s: float
    flower_rounds_per_s: float | None


class Thousand(msgspec.Struct, frozen=True):
    """1,000 clients: memory is that of the process, with its data."""

    loop_rounds_per_s: float
    loop_peak_mb: float
    vectorized_rounds_per_s: float
    vectorized_peak_mb: float


class Results(msgspec.Struct, frozen=True):
    """What is printed."""

    start_s: float
    cases: dict[str, Figures]
    thousand: Thousand


class Measured(msgspec.Struct, frozen=True):
    """One contender in one case. Flower computes in other processes, whose time and memory are not known."""

    round_s: float
    cpu_s: float
    peak_mb: float


def measure(case: Case, directory: Path, names: Sequence[str], repetitions: int) -> dict[str, Measured]:
    """The contenders, in turns.

    Raises:
        DifferentWorkError: see there.
    """
    seconds: dict[str, list[float]] = {name: [] for name in names}
    cpu_s: dict[str, list[float]] = {name: [] for name in names}
    peak_mb = dict.fromkeys(names, 0.0)
    with contextlib.ExitStack() as stack:
        module = "benchmarks.simulators.serve"
        processes = [stack.enter_context(serving(name, module, str(directory))) for name in names]
        for repetition in range(repetitions):
            for process in processes:
                if process.name == "flower" and repetition >= FLOWER_REPETITIONS:
                    continue
                answer = process.ask("simulate", rounds=ROUNDS[case.name])
                if answer["accuracy"] < _LEARNED:
                    raise DifferentWorkError(f"{process.name} gets {answer['accuracy']:.2f} right in {case.name}")
                seconds[process.name] += answer["seconds"]
                cpu_s[process.name].append(answer["cpu_s"])
                peak_mb[process.name] = answer["peak_mb"]
    return {
        name: Measured(statistics.median(seconds[name]), statistics.median(cpu_s[name]), peak_mb[name])
        for name in names
    }


def start_s(directory: Path, out: Path) -> float:
    """From the start of a process to the end of its first round."""
    command = [sys.executable, "-m", "cli.main", "simulate", str(directory / PROJECT), "--data", str(directory / DATA)]
    command += ["--rounds", "1", "--out", str(out)]
    begun = time.monotonic()
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("round 1 of"):
                return time.monotonic() - begun
    raise RuntimeError(f"fedgrass simulate came to no round: {''.join(said)}")


def run(
    cases: Sequence[Case],
    thousand: Case,
    names: Sequence[str],
    source: Digits | None,
    repetitions: int,
    console: Console,
) -> Results:
    """All of it, in a directory that is gone afterwards."""
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="fedgrass-simulate-") as scratch:
        for case in (*cases, thousand):
            write_case(case, Path(scratch) / case.name, source)
        start = start_s(Path(scratch) / cases[-1].name, Path(scratch) / "run")
        for case in cases:
            found = measure(case, Path(scratch) / case.name, names, repetitions)
            console.print(_table(case, found))
            figures[case.name] = msgspec.convert(
                {f"{name}_rounds_per_s": 1 / found[name].round_s if name in found else None for name in CONTENDERS},
                Figures,
            )
        many = measure(thousand, Path(scratch) / thousand.name, ["loop", "vectorized"], 1)
        console.print(_table(thousand, many))
    return Results(
        start_s=start,
        cases=figures,
        thousand=Thousand(
            loop_rounds_per_s=1 / many["loop"].round_s,
            loop_peak_mb=many["loop"].peak_mb,
            vectorized_rounds_per_s=1 / many["vectorized"].round_s,
            vectorized_peak_mb=many["vectorized"].peak_mb,
        ),
    )


def _table(case: Case, found: dict[str, Measured]) -> Table:
    title = f"{case.name}: {case.clients} clients, {case.steps_a_round} steps a round"
    table = Table(
        "",
        "ms a round",
        "us a step",
        "of bare",
        "CPU us a step",
        "MB",
        title=title,
        box=box.SIMPLE,
        title_justify="left",
    )
    bare = found.get("bare")
    for name, one in found.items():
        table.add_row(
            name,
            f"{one.round_s * 1e3:,.1f}",
            f"{one.round_s * 1e6 / case.steps_a_round:,.0f}",
            f"{one.round_s / bare.round_s:.2f}" if bare else "",
            f"{one.cpu_s * 1e6 / case.steps_a_round:,.0f}" if name != "flower" else "",
            f"{one.peak_mb:,.0f}" if name != "flower" else "",
        )
    return table


def main(
    data: Annotated[Path | None, typer.Option(help="A directory with MNIST's IDX files.")] = None,
    repetitions: Annotated[int, typer.Option(min=1)] = REPETITIONS,
) -> None:
    """Print the figures as JSON."""
    console = Console(stderr=True, highlight=False)
    present = [name for name in CONTENDERS if is_present(name)]
    for name in CONTENDERS.keys() - present:
        console.print(f"{name} is not installed, and skipped: make bench-peers")
    source = None
    if data is not None:
        train = idx.read(data, "train")
        source = Digits(train.images, train.labels)
    results = run(CASES, THOUSAND, present, source, repetitions, console)
    sys.stdout.write(msgspec.json.encode(results).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
