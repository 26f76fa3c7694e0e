"""How well federations learn from skewed data, and how soon from devices of unlike speeds.

`python -m benchmarks.learning DATA` simulates the federation of benchmarks/experiments with the digits in DATA, a
folder with MNIST's IDX files: a perceptron, 784-128-64-10, whose settings are those of a preset. Accuracies are after
the last round, on the 10,000 digits that no client has; where the preset keeps a moving average of the models, they are
that one's. Figures are means over the seeds. The last line is the figures as JSON.

`iid_20`: 10 of 40 alike clients a round, 20 rounds. `two_labels_60`: 40 of 40 clients with two digits each, 60 rounds.
`one_label_90` and `one_label_40_of_100_90`: with one digit each, all of 40 and 40 of 100 clients, 90 rounds.

`selection`: 40 clients with two digits each. The fastest trains on ten times as many examples a second as the slowest,
and the higher their digits the slower they are. Figures are of the simulated seconds until an accuracy of 90 %, against
those of `random`, 10 clients a round, each round as long as the slowest of them. `balanced_vs_random` is of `balanced`
with rounds that do not wait for anyone, as docs/policies.md advises for such a fleet. Others tell what of it comes from
where: `balanced` with rounds that wait, and `random` with rounds that do not. `dropping_out` is `balanced_vs_random`
where a tenth of all updates is lost, to both. `worst_class` is the least accuracy within a digit, in the last round, of
any run of `balanced`.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from cli.client_data import clients_of
from cli.datasets import idx
from cli.project import load
from cli.screen import Screen
from cli.settings.given_options import parse_set
from cli.simulating import simulate
from cli.simulation_inputs import Options
from reporting.records import RoundLine
from reporting.run_folder import RunFolder

PROJECT = Path(__file__).parent / "experiments"
SEEDS = 3
FEW_ROUNDS = 6
CLIENTS = 40
GOAL = 0.9
FASTEST, SLOWEST = 1000.0, 100.0
"""Examples that a client trains on in a second."""

DROPOUT = 0.1
EVALUATE_EVERY = 2

_TRAINING = ("preset=label-skew", "training.batch_size=32", "training.steps=5")
_WAITING = (*_TRAINING, "training.learning_rate=0.1", "selection.cohort=10", "rounds=50")
_NOT_WAITING = (
    *_TRAINING,
    "selection.cohort=30",
    "target=5",
    "max_staleness=30",
    "training.learning_rate=0.15",
    "training.schedule={name: cosine}",
    "averaging.optimizer={name: fedavg}",
    "averaging.ema=0.95",
    "rounds=180",
)


class Case(NamedTuple):
    """A federation, `settings` as `--set` has them."""

    split: str
    settings: tuple[str, ...]
    clients: int = CLIENTS
    metric: str = "ema_accuracy"


LONGER = (
    "preset=label-skew",
    "training.steps=20",
    "training.learning_rate=0.1",
    "training.momentum=0.5",
    "averaging.optimizer={name: fedavgm, beta: 0.8}",
)
"""For devices that have more than one label each."""

MNIST = {
    "iid_20": Case("iid", ("preset=iid", "rounds=20"), metric="accuracy"),
    "two_labels_60": Case("labels:2", (*LONGER, "rounds=60")),
    "one_label_90": Case("labels:1", ("preset=label-skew", "rounds=90")),
    "one_label_40_of_100_90": Case("labels:1", ("preset=label-skew", "rounds=90"), 100),
}

SELECTION = {
    "random": Case("labels:2", ("selection.policy=random", *_WAITING)),
    "balanced": Case("labels:2", ("selection.policy=balanced", *_NOT_WAITING)),
    "balanced_waiting": Case("labels:2", ("selection.policy=balanced", *_WAITING)),
    "random_not_waiting": Case("labels:2", ("selection.policy=random", *_NOT_WAITING)),
}


class Mnist(msgspec.Struct, frozen=True):
    """Accuracies."""

    iid_20: float
    two_labels_60: float
    one_label_90: float
    one_label_40_of_100_90: float


class Selection(msgspec.Struct, frozen=True):
    """How many times as soon as `random` with rounds that wait; None is what does not come to the goal."""

    balanced_vs_random: float | None
    balanced_waiting_vs_random: float | None
    random_not_waiting_vs_random: float | None
    dropping_out: float | None
    worst_class: float


class Results(msgspec.Struct, frozen=True):
    """What is printed."""

    mnist: Mnist
    selection: Selection


class Bench:
    """Runs cases, each with each seed, in a folder that is gone afterwards."""

    def __init__(self, data: Path, seeds: Sequence[int], scratch: Path, screen: Screen, *, few: bool) -> None:
        self._data = data
        self._seeds = seeds
        self._scratch = scratch
        self._screen = screen
        self._few = few
        self._split: dict[tuple[str, int, int], Path] = {}

    def accuracy(self, name: str) -> float:
        """Of a case of MNIST: the mean over the seeds."""
        case = MNIST[name]
        found = []
        for seed in self._seeds:
            begun = time.monotonic()
            rounds = self.rounds(case, seed)
            took_s = time.monotonic() - begun
            found.append(_last(rounds, case.metric))
            self._screen.line(f"{name}, seed {seed}: {found[-1]:.4f}, in {took_s:.0f} s")
        return statistics.mean(found)

    def selection(self, name: str, dropout: float = 0.0) -> tuple[float | None, float]:
        """Of a way to select: the mean of the simulated seconds to the goal, None if a seed does not come to it; and
        the least accuracy within a class."""
        case = SELECTION[name]
        seconds, worst = [], 1.0
        for seed in self._seeds:
            begun = time.monotonic()
            rounds = self.rounds(case, seed, self.devices(case, seed, dropout))
            took_s = time.monotonic() - begun
            seconds.append(next((line.ended_at for line in rounds if _of(line, "ema_accuracy") >= GOAL), None))
            worst = min(worst, _last(rounds, "ema_worst_class_accuracy"))
            told = "never" if seconds[-1] is None else f"after {seconds[-1]:.1f} simulated s"
            lost = f", {dropout:.0%} lost" if dropout else ""
            self._screen.line(
                f"{name}{lost}, seed {seed}: {GOAL:.0%} {told}; {_last(rounds, 'ema_accuracy'):.4f} and "
                f"{_last(rounds, 'ema_worst_class_accuracy'):.4f} in the worst class at the end, in {took_s:.0f} s"
            )
        reached = [each for each in seconds if each is not None]
        return statistics.mean(reached) if len(reached) == len(seconds) else None, worst

    def rounds(self, case: Case, seed: int, devices: Path | None = None) -> list[RoundLine]:
        """A case, simulated."""
        settings = [*case.settings, f"training.seed={seed}", *([f"rounds={FEW_ROUNDS}"] if self._few else [])]
        project = load(PROJECT, [parse_set(setting) for setting in settings])
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            options = Options(
                data=self.clients(case, seed),
                seed=seed,
                devices=devices,
                backend="vectorized",
                evaluate_every=EVALUATE_EVERY,
                out=Path(folder) / "run",
            )
            simulate(project, options, Screen(quiet=True))
            return list(RunFolder(options.out).rounds())

    def clients(self, case: Case, seed: int) -> Path:
        """A folder a client, as `fedgrass split` writes them."""
        key = case.split, case.clients, seed
        if key not in self._split:
            folder = self._split[key] = self._scratch / f"{len(self._split)}"
            clients_of(self._data, clients=case.clients, split=case.split, seed=seed, scratch=folder)
        return self._split[key]

    def devices(self, case: Case, seed: int, dropout: float) -> Path:
        """A file of devices: the higher a client's digits, the slower it is."""
        folders = sorted((self.clients(case, seed) / "clients").iterdir())
        slower = sorted(folders, key=lambda folder: idx.read(folder, "train").labels.mean())
        factor = (SLOWEST / FASTEST) ** (1 / (len(slower) - 1))
        devices = [
            {"client": folder.name, "examples_per_s": FASTEST * factor**place, "dropout": dropout}
            for place, folder in enumerate(slower)
        ]
        path = self._scratch / "devices.jsonl"
        path.write_text("".join(f"{json.dumps(device)}\n" for device in devices))
        return path


def _of(line: RoundLine, metric: str) -> float:
    value = line.held_out.get(metric)
    return 0.0 if value is None else value


def _last(rounds: Sequence[RoundLine], metric: str) -> float:
    return _of(rounds[-1], metric)


def _times(before_s: float | None, after_s: float | None) -> float | None:
    return before_s / after_s if before_s and after_s else None


def run(data: Path, seeds: Sequence[int], screen: Screen, *, few: bool) -> Results:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="fedgrass-learning-") as scratch:
        bench = Bench(data, seeds, Path(scratch), screen, few=few)
        mnist = Mnist(**{name: bench.accuracy(name) for name in MNIST})
        seconds, worst = {}, {}
        for name in SELECTION:
            seconds[name], worst[name] = bench.selection(name)
        lossy_s = {name: bench.selection(name, DROPOUT)[0] for name in ("random", "balanced")}
    return Results(
        mnist,
        Selection(
            balanced_vs_random=_times(seconds["random"], seconds["balanced"]),
            balanced_waiting_vs_random=_times(seconds["random"], seconds["balanced_waiting"]),
            random_not_waiting_vs_random=_times(seconds["random"], seconds["random_not_waiting"]),
            dropping_out=_times(lossy_s["random"], lossy_s["balanced"]),
            worst_class=worst["balanced"],
        ),
    )


def main(
    data: Annotated[Path, typer.Argument(help="A folder with MNIST's IDX files.")],
    seeds: Annotated[int, typer.Option(min=1, help="So many runs of each.")] = SEEDS,
    few: Annotated[
        bool, typer.Option("--few", help=f"A quick look: {FEW_ROUNDS} rounds, whatever comes of them.")
    ] = False,
) -> None:
    """Print the figures as JSON."""
    results = run(data, range(seeds), Screen(stderr=True), few=few)
    sys.stdout.write(msgspec.json.encode(results).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
