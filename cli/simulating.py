"""`fedgrass simulate`: what is to be simulated, by which backend, and what is said of it."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from cli.client_data import ClientData, ClientDataError, clients_of, clients_of_digits
from cli.errors.kind import ResultError
from cli.initialization import initial_model
from cli.plurals import counted
from cli.project import Project, ProjectError
from cli.screen import Screen
from cli.settings.contradictions import fleet_contradictions
from cli.settings.problems import told
from cloud import custom_policies
from cloud.settings import cohort_of
from components.client.trainer.task.loading import load_task
from protocol.messages import Numbers
from reporting.records import RoundLine, Summary
from sandbox.scratch import Scratch
from simulation.backend import Backend
from simulation.choosing import update_s, worth_processes
from simulation.devices import Fleet, read_devices
from simulation.held_out import HeldOut
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.model_store import ModelFiles, initial_files
from simulation.processes import ProcessesBackend
from simulation.run import Run, Score
from simulation.simulation import EndedRound
from simulation.stopping import Stop

EXAMPLE = Path(__file__).parent.parent / "components" / "tasks" / "mnist"

BackendName = Literal["auto", "loop", "processes", "vectorized"]

_NO_MATTER = ("task", "thing_group", "initial_model", "averaging.shards")
"""Settings that change no bit of a simulation that has begun."""

_REASONS = 3
"""So many different reasons of clients without an update are told of a round."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was told, beside the project."""

    data: Path | None = None
    clients: int | None = None
    split: str | None = None
    seed: int = 0
    devices: Path | None = None
    backend: BackendName = "auto"
    workers: int | None = None
    evaluate_every: int = 1
    out: Path
    resume: bool = False


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What the command results in: the run folder, and its summary."""

    run: str
    summary: Summary


class SimulationFailedError(ResultError):
    """No round made a model; the text says why."""


def simulate(project: Project, options: Options, screen: Screen) -> Simulated:
    """Simulates the federation, into the run folder; says each round on the screen.

    Raises:
        ProjectError, ClientDataError, DevicesError: what is to be simulated is wrong.
        SimulationFailedError: see there.
        SimulationStoppedError: a signal has come.
    """
    with Stop() as stop, Scratch() as scratch:
        data = _data(project, options, scratch.path / "data")
        devices = read_devices(options.devices, data.folders) if options.devices else {}
        if problems := list(fleet_contradictions(project.settings, len(data.folders))):
            raise ProjectError(f"{project.path}: {told(problems)}")
        run = Run(
            settings=project.settings,
            things=tuple(data.folders),
            fleet=Fleet(devices, options.seed),
            policies=custom_policies.load(project.directory, project.settings),
            of=_identity(project, options, data.folders),
        )
        screen.line(f"simulating {project.settings.name} with {counted(len(data.folders), 'client')}")
        files = stop.work(lambda: initial_files(project.settings, initial_model(project)))
        backend = stop.work(lambda: _backend(project, options, data.folders, files, screen))
        try:
            score = _score(project, data.holdout, options.evaluate_every, stop)
            teller = _Teller(screen, project.settings.rounds, shows_time=options.devices is not None)
            summary = run.into(options.out, backend, files, score, teller.tell, stop, resume=options.resume)
        finally:
            backend.close()
    if summary.totals.closed == 0:
        raise SimulationFailedError(
            f"no round made a model: {teller.reason}", Simulated(run=str(options.out), summary=summary)
        )
    return Simulated(run=str(options.out), summary=summary)


def _data(project: Project, options: Options, scratch: Path) -> ClientData:
    own = project.directory / "data"
    data = options.data or (own if own.is_dir() else None)
    if data is not None:
        return clients_of(data, clients=options.clients, split=options.split, seed=options.seed, scratch=scratch)
    if project.task == EXAMPLE:
        return clients_of_digits(clients=options.clients, split=options.split, seed=options.seed, scratch=scratch)
    raise ClientDataError(f"there is no data: name it by --data, or put it into {own}")


def _identity(project: Project, options: Options, folders: Mapping[str, Path]) -> dict[str, str]:
    """What has to be the same for a simulation to go on with the same bits, as texts to be shown."""
    values = dict(_flat(msgspec.to_builtins(project.settings)))
    code = b"".join(path.read_bytes() for path in sorted(project.task.rglob("*.py")))
    values["the task's code"] = _digest(code)
    values["policies.py"] = _digest(*project.policies.values())
    values["the clients"] = f"{len(folders)} ({_digest(msgspec.json.encode(list(folders)))})"
    values["--seed"], values["--split"] = str(options.seed), str(options.split)
    values["--devices"] = _digest(options.devices.read_bytes()) if options.devices else "none"
    return values


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}" if path else name)
    elif path not in _NO_MATTER:
        yield path, str(value)


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


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
    held_out = stop.work(lambda: HeldOut(load_task(project.task), holdout, project.settings.training.seed))
    return Score(held_out.score, every)


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
        metrics = line.held_out or {name: value for name, value in line.metrics.items() if name.endswith("_after")}
        parts = [
            f"round {line.round} of {self._rounds}",
            *([_told(metrics)] if metrics else []),
            f"{line.accepted} of {counted(line.cohort, 'client')}",
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
    return "  ".join(
        f"{name} {'not finite' if value is None else format(value, '.4g')}" for name, value in sorted(metrics.items())
    )
