"""How long the runs of an experiment will take, and what they will measure: a guess, from a second of the first one.
Imports torch."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cli.client_data import ClientData
from cli.experiments.runs import PlannedRun
from cli.experiments.work import examples_in
from cli.initial_model import initial_model
from components.client.trainer.task.loading import load_task
from simulation.choosing import START_S, update_s
from simulation.devices import trained_on
from simulation.held_out import HeldOut
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.model_store import initial_files
from simulation.stopping import Stop


class Guess(NamedTuple):
    """Seconds until all runs are done, infinite if the first client of the first run gives no update; and the
    metrics that the task gives of held-out data."""

    seconds: float
    metrics: frozenset[str]


def guess(runs: Sequence[PlannedRun], data: ClientData, clients: Mapping[str, int], jobs: int) -> Guess:
    """Of these runs, so many at a time. `data` is the first run's.

    Raises:
        SimulationStoppedError: a signal has come.
    """
    with Stop() as stop:
        return stop.work(lambda: _guess(runs, data, clients, jobs))


def _guess(runs: Sequence[PlannedRun], data: ClientData, clients: Mapping[str, int], jobs: int) -> Guess:
    first = runs[0]
    project, settings = first.project, first.project.settings
    folders = {thing: str(folder) for thing, folder in data.folders.items()}
    loop = LoopBackend(
        Setup(task=str(project.task), federation=settings.name, seed=settings.training.seed, folders=folders)
    )
    model = initial_model(load_task(project.task), project.directory, settings)
    files = initial_files(settings, model)
    one_update_s = update_s(loop, settings, files, data.folders)
    loaded = [each.examples for each in loop.clients.loaded.values()] or [1]
    examples = sum(loaded) / len(loaded)
    an_example_s = one_update_s / trained_on(settings.training, examples)
    training_s = sum(examples_in(run, clients[run.combination], examples) for run in runs) * an_example_s
    scored = sum(run.project.settings.rounds / run.options.evaluate_every for run in runs)
    score_s, names = _score(project.task, data.holdout, files["model"], settings.training.seed)
    seconds = START_S + (training_s + scored * score_s) / min(jobs, len(runs))
    return Guess(seconds, frozenset(names))


def _score(task: Path, holdout: Path | None, model: bytes, seed: int) -> tuple[float, Iterable[str]]:
    """How long it takes to score a model, and the metrics that come of it."""
    if holdout is None:
        return 0.0, ()
    held_out = HeldOut(load_task(task), holdout)
    held_out.score(model, seed)
    started = time.monotonic()
    metrics = held_out.score(model, seed)
    return time.monotonic() - started, metrics
