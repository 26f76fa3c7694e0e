"""`fedgrass simulate`: what is to be simulated, by which backend, and what is said of it."""

import itertools
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cli.checking.checks import check_loaded_by
from cli.checking.trial_here import TrialHere
from cli.errors.kind import ResultError
from cli.model_warnings import told
from cli.plurals import counted
from cli.project import Project
from cli.project_data import data_of
from cli.run_report import write_report
from cli.screen import Screen
from cli.simulation_inputs import Options, identity_of, run_of
from cloud.settings import cohort_of
from components.client.trainer.task.loading import load_task
from protocol.messages import Numbers
from reporting.records import RoundLine, Summary
from reporting.tracking import check_installed
from sandbox.scratch import Scratch
from simulation.backend import Backend
from simulation.choosing import update_s, worth_processes
from simulation.held_out import HeldOut
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.model_store import ModelFiles, initial_files
from simulation.processes import ProcessesBackend
from simulation.run import Score
from simulation.simulation import EndedRound
from simulation.stopping import Stop

_REASONS = 3
"""So many different reasons of clients without an update are told of a round."""


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What the command results in: the run folder, its report, and its summary."""

    run: str
    report: str
    summary: Summary


class SimulationFailedError(ResultError):
    """No round made a model; the text says why."""


def simulate(project: Project, options: Options, screen: Screen) -> Simulated:
    """Simulates the federation, into the run folder; says each round on the screen.

    Raises:
        ProjectError, ClientDataError, DevicesError, CheckFailedError: what is to be simulated is wrong.
        MissingTrackerError: see there.
        SimulationFailedError: see there.
        SimulationStoppedError: a signal has come.
    """
    check_installed(options.track)
    with Stop() as stop, Scratch() as scratch:
        data = data_of(project, options, scratch.path / "data")
        run = run_of(project, options, data, identity_of(project, options))
        model = stop.work(lambda: _tried_out(project, data.folders, scratch.path, screen))
        screen.line(f"simulating {project.settings.name} with {counted(len(data.folders), 'client')}")
        files = initial_files(project.settings, model)
        backend = stop.work(lambda: _backend(project, options, data.folders, files, screen))
        try:
            score = _score(project, data.holdout, options.evaluate_every, stop)
            teller = _Teller(screen, project.settings.rounds, shows_time=options.devices is not None)
            summary = run.into(
                options.out,
                backend,
                files,
                score,
                teller.tell,
                stop,
                resume=options.resume,
                track=options.track,
                warn=lambda text: screen.line(f"warning: {text}"),
            )
        finally:
            backend.close()
        report = stop.work(lambda: write_report(options.out))
    simulated = Simulated(run=str(options.out), report=report.path, summary=summary)
    if summary.totals.closed == 0:
        raise SimulationFailedError(f"no round made a model: {teller.reason}", simulated)
    return simulated


def _tried_out(project: Project, folders: Mapping[str, Path], scratch: Path, screen: Screen) -> bytes:
    """The model to begin with, when a check of the project with the first client's data has found no errors."""
    first = dict(itertools.islice(folders.items(), 1))
    checked = check_loaded_by(TrialHere(scratch), project, lambda _: first)
    for line in checked.lines():
        screen.line(line)
    return checked.model


def _backend(
    project: Project, options: Options, folders: Mapping[str, Path], files: ModelFiles, screen: Screen
) -> Backend:
    settings = project.settings
    setup = Setup(
        task=str(project.task),
        federation=settings.name,
        seed=settings.training.seed,
        folders={thing: str(folder) for thing, folder in folders.items()},
    )
    if options.backend == "loop":
        return LoopBackend(setup)
    at_once = options.workers or len(os.sched_getaffinity(0))
    if options.backend == "vectorized":
        from simulation.vectorized.backend import VectorizedBackend  # which imports much more of torch

        return VectorizedBackend(
            setup, at_once, lambda reason: screen.line(f"clients are computed one after the other: {reason}")
        )
    if options.backend == "processes" or options.workers is not None:
        return ProcessesBackend(setup, at_once)
    loop = LoopBackend(setup)
    cohort = cohort_of(settings.selection, len(folders))
    workers = worth_processes(update_s(loop, settings, files, folders), settings.rounds * cohort, cohort)
    if workers == 1:
        return loop
    screen.line(f"with {workers} processes")
    return ProcessesBackend(setup, workers)


def _score(project: Project, holdout: Path | None, every: int, stop: Stop) -> Score | None:
    if holdout is None:
        return None
    held_out = stop.work(lambda: HeldOut(load_task(project.task), holdout))
    seed = project.settings.training.seed
    return Score(lambda model: held_out.score(model, seed), every)


class _Teller:
    """Says how the rounds go, a line each, and why the last one made no model."""

    def __init__(self, screen: Screen, rounds: int, *, shows_time: bool) -> None:
        self._screen = screen
        self._rounds = rounds
        self._shows_time = shows_time
        self._at = time.monotonic()
        self.reason = ""

    def tell(self, line: RoundLine, ended: EndedRound) -> None:
        """A round has ended."""
        now = time.monotonic()
        after = {name: value for name, value in line.metrics.items() if name.endswith("_after")}
        metrics = line.metrics if line.evaluates else line.held_out or after
        parts = [
            f"round {line.round} of {self._rounds}",
            *([_told(metrics)] if metrics else []),
            f"{line.accepted} of {counted(line.cohort, 'client')}{' evaluated' if line.evaluates else ''}",
            *([f"{line.round_s:,.1f} s simulated"] if self._shows_time else []),
            f"{now - self._at:.2f} s",
        ]
        self._at = now
        if line.reason is not None:
            parts.append(f"{line.status}: {line.reason}")
            self.reason = line.reason
        self._screen.line("   ".join(parts))
        reasons = Counter(f"{one.state}: {one.reason}" for one in (*ended.responses.failed, *ended.responses.refused))
        for reason, count in reasons.most_common(_REASONS):
            self._screen.line(f"  {counted(count, 'client')} {reason}")
            self.reason = f"{self.reason}; {counted(count, 'client')} {reason}" if line.reason else self.reason


def _told(metrics: Numbers) -> str:
    return told(dict(sorted(metrics.items())), lambda value: "not finite" if value is None else f"{value:.4g}", "  ")
