"""How long averaging a round takes, beside other systems and the limit of the machine.

`python -m benchmarks.averaging` has the same updates averaged by fedgrass, by Flower's FedAvg and NVIDIA FLARE's
WeightedAggregationHelper (`make bench-peers` installs both; without them their figures are null), by the predecessor's
arithmetic, and by numpy with one buffer read and one multiply-add per update, which is the limit. Updates lie as files
in each system's own wire form, in the page cache; the result is a new model file. Contenders take turns in every
repetition, each in a process of its own, whose libraries use one thread; ours has the environment variables that
cloud/template.yaml gives to the averager, and with `--equal-malloc` the others have them as well. Times are medians.

`ours_peak_mb` is by how much resident memory grows at most, in a new process that has imported everything.

`max_relative_error` is the largest |ours - reference| / |reference| of any coordinate in any row, the reference in
float64. It is taken of the new model, and of the mean change alone (averaged onto a model of zeros), where changes that
cancel each other would show; the larger one counts.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import inputs
from benchmarks.contenders.ours import base_path, write_base
from benchmarks.contenders.process import ContenderProcess, is_present, started
from benchmarks.contenders.serve import CONTENDERS

COHORTS: dict[str, tuple[int, ...]] = {"mlp": (10, 40, 160), "resnet18": (10, 40)}
REPETITIONS = {"mlp": 21, "resnet18": 7}
"""Short times vary more."""

_SAME_WORK = 1e-5
_MB = 1e6


class DifferentWorkError(Exception):
    """A contender's model is not the mean of the updates, so that its time says nothing."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One cohort and model. Times in seconds; a peer that is not installed has none."""

    clients: int
    model_bytes: int
    ours_s: float
    limit_s: float
    flower_s: float | None = None
    flare_s: float | None = None
    predecessor_s: float
    ours_peak_mb: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed."""

    rows: list[Row]
    max_relative_error: float


class Bench:
    """The updates of one architecture as files, of each contender's own form, and what is measured of them."""

    def __init__(self, architecture: str, contenders: Sequence[ContenderProcess], directory: Path) -> None:
        """Writes the updates of the largest cohort into folders of `directory`."""
        self._architecture = architecture
        self._contenders = contenders
        self._directory = directory
        for contender in contenders:
            folder = directory / contender.name
            folder.mkdir()
            clients = COHORTS[architecture][-1]
            contender.ask("prepare", clients=clients, directory=str(folder))
        # Otherwise what was just written is on its way to the disk while the first repetitions are timed.
        os.sync()

    def row(self, clients: int) -> Row:
        """The times of one cohort. Contenders take turns; a turn is two averages of which the second counts, as the
        first finds what the contender before has left in the processor's caches."""
        with started("ours", self._architecture) as new:
            peak_bytes = self._average(new, clients)["peak_bytes"]
        seconds: dict[str, list[float]] = {contender.name: [] for contender in self._contenders}
        for _ in range(REPETITIONS[self._architecture]):
            for contender in self._contenders:
                self._average(contender, clients)
                seconds[contender.name].append(self._average(contender, clients)["seconds"])
        medians = {f"{name}_s": statistics.median(times) for name, times in seconds.items()}
        model_bytes = inputs.model_bytes(self._architecture)
        return msgspec.convert(
            {"clients": clients, "model_bytes": model_bytes, "ours_peak_mb": peak_bytes / _MB, **medians}, Row
        )

    def max_relative_error(self) -> float:
        """How far ours is from the reference, over all cohorts.

        Raises:
            DifferentWorkError: a contender's model is another one.
        """
        ours = next(contender for contender in self._contenders if contender.name == "ours")
        onto_zeros = self._onto_zeros()
        error = 0.0
        for clients, mean in _means(self._architecture, COHORTS[self._architecture]):
            reference = inputs.base(self._architecture) + mean
            for contender in self._contenders:
                _check(contender.name, self._model(contender, clients), reference)
            error = max(
                error,
                _relative_error(self._model(ours, clients), reference),
                _relative_error(self._model(ours, clients, onto_zeros), mean),
            )
        return error

    def _onto_zeros(self) -> Path:
        """Our updates, to a model of zeros."""
        folder = self._directory / "zeros"
        folder.mkdir()
        for update in (self._directory / "ours").iterdir():
            os.link(update, folder / update.name)
        base_path(folder).unlink()
        write_base(self._architecture, np.zeros(inputs.parameters(self._architecture), np.float32), folder)
        return folder

    def _average(self, contender: ContenderProcess, clients: int) -> dict[str, Any]:
        """Into a new file, as a new model is a new object; it goes when the clock has stopped."""
        model = self._directory / "model"
        answer = self._ask_to_average(contender, clients, self._directory / contender.name, model)
        model.unlink()
        return answer

    def _model(self, contender: ContenderProcess, clients: int, updates: Path | None = None) -> NDArray[np.float32]:
        model, values = self._directory / "model", self._directory / "values.npy"
        self._ask_to_average(contender, clients, updates or self._directory / contender.name, model)
        contender.ask("read", model=str(model), into=str(values))
        array: NDArray[np.float32] = np.load(values, allow_pickle=False)
        return array

    def _ask_to_average(self, contender: ContenderProcess, clients: int, updates: Path, model: Path) -> dict[str, Any]:
        return contender.ask("average", clients=clients, directory=str(updates), model=str(model))


def _means(architecture: str, cohorts: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Each cohort's size, and the weighted mean of its changes in float64."""
    total = np.zeros(inputs.parameters(architecture))
    for client in range(cohorts[-1]):
        total += np.multiply(inputs.delta(architecture, client), inputs.weight(client), dtype=np.float64)
        if client + 1 in cohorts:
            yield client + 1, total / sum(inputs.weight(each) for each in range(client + 1))


def _check(name: str, model: NDArray[np.float32], reference: NDArray[np.float64]) -> None:
    error = np.max(np.abs(model - reference)) / np.max(np.abs(reference))
    if not error <= _SAME_WORK:
        raise DifferentWorkError(f"{name} averages to another model: {error:.1e} of the largest value away")


def _relative_error(values: NDArray[np.float32], reference: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(values - reference) / np.abs(reference)))


def _table(rows: Sequence[Row]) -> Table:
    ratios = ("ours /\nlimit", "peer /\nours", "peak\nMB")
    table = Table("clients", "model\nMB", *(f"{name}\nms" for name in CONTENDERS), *ratios, box=box.SIMPLE, padding=0)
    for row in rows:
        times = [getattr(row, f"{name}_s") for name in CONTENDERS]
        peers = [time for time in (row.flower_s, row.flare_s) if time is not None]
        table.add_row(
            str(row.clients),
            f"{row.model_bytes / _MB:.1f}",
            *("-" if time is None else f"{time * 1000:.1f}" for time in times),
            f"{row.ours_s / row.limit_s:.2f}",
            f"{min(peers) / row.ours_s:.1f}" if peers else "-",
            f"{row.ours_peak_mb:.1f}",
        )
    return table


def main(
    architectures: Annotated[
        list[str] | None, typer.Option("--architecture", help="mlp or resnet18; may be repeated. Default: both.")
    ] = None,
    *,
    equal_malloc: Annotated[
        bool, typer.Option("--equal-malloc", help="Give the averager's settings of malloc to the others, too.")
    ] = False,
) -> None:
    """Print the figures as JSON."""
    console = Console(stderr=True, highlight=False)
    present = [name for name in CONTENDERS if is_present(name)]
    for name in CONTENDERS.keys() - present:
        console.print(f"{name} is not installed, and skipped: make bench-peers")
    rows: list[Row] = []
    error = 0.0
    for architecture in architectures or COHORTS:
        with ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="fedgrass-averaging-"))
            contenders = [
                stack.enter_context(started(name, architecture, as_deployed=equal_malloc)) for name in present
            ]
            bench = Bench(architecture, contenders, Path(directory))
            rows += [bench.row(clients) for clients in COHORTS[architecture]]
            error = max(error, bench.max_relative_error())
    console.print(_table(rows))
    sys.stdout.write(msgspec.json.encode(Figures(rows=rows, max_relative_error=error)).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
