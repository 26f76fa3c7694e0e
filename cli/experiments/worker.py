"""A process that simulates runs for the experiment that has started it, and dies with it.

What a task loads stays in memory from one run to the next, as long as they have the same clients.
"""

import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from cli.client_data import ClientData
from cli.errors.explained import explained, kind_of
from cli.errors.table import INTERNAL
from cli.experiments.standing import clear
from cli.experiments.worker_messages import Answer, ComputedApart, RoundEnded, RunEnded, RunFailed, RunRequest
from cli.initial_model import initial_model
from cli.project import Project
from cli.simulation_inputs import BackendName, Options, run_of
from components.client.trainer.parent import die_with_the_parent
from components.client.trainer.task.loading import load_task
from reporting.records import RoundLine
from simulation.backend import Backend
from simulation.frames import read, taken_streams, write
from simulation.held_out import HeldOut
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.model_store import initial_files
from simulation.run import Score
from simulation.simulation import EndedRound
from simulation.stopping import SimulationStoppedError, Stop


def main() -> None:
    """Simulates what it is asked for, until there is no more, or a signal comes."""
    die_with_the_parent()
    requests, answers = taken_streams()
    decoder = msgspec.msgpack.Decoder(RunRequest)
    with Stop() as stop:
        worker = _Worker(stop, lambda answer: write(answers, answer))
        while (data := read(requests)) is not None:
            try:
                write(answers, worker.simulate(decoder.decode(data)))
            except SimulationStoppedError:
                return


class _Clients:
    """The clients of some runs, and the data that none of them has."""

    def __init__(self, project: Project, data: ClientData, backend: BackendName, tell: Callable[[str], None]) -> None:
        settings = project.settings
        folders = {thing: str(folder) for thing, folder in data.folders.items()}
        setup = Setup(task=str(project.task), federation=settings.name, seed=settings.training.seed, folders=folders)
        self.backend = _backend(setup, backend, tell)
        self.held_out = HeldOut(load_task(project.task), data.holdout) if data.holdout else None


def _backend(setup: Setup, name: BackendName, tell: Callable[[str], None]) -> Backend:
    if name == "loop":
        return LoopBackend(setup)
    from simulation.vectorized.backend import VectorizedBackend  # which imports much more of torch

    return VectorizedBackend(setup, 1, tell)


class _Worker:
    def __init__(self, stop: Stop, tell: Callable[[Answer], None]) -> None:
        self._stop = stop
        self._tell = tell
        self._clients: _Clients | None = None
        self._clients_of: object = None

    def simulate(self, request: RunRequest) -> Answer:
        try:
            self._simulate(request)
        except Exception as error:  # whatever it is: other runs go on
            if kind_of(error) is INTERNAL:
                traceback.print_exception(error)
            return RunFailed(explained(error).message)
        return RunEnded()

    def _simulate(self, request: RunRequest) -> None:
        project = Project(path=Path(request.project), settings=request.settings)
        folders = {thing: Path(folder) for thing, folder in request.folders.items()}
        data = ClientData(folders, Path(request.holdout) if request.holdout else None)
        options = Options(
            seed=request.seed, devices=Path(request.devices) if request.devices else None, out=Path(request.out)
        )
        run = run_of(project, options, data, request.identity)
        clients = self._stop.work(lambda: self._clients_for(project, data, request.backend))
        files = self._stop.work(lambda: initial_files(project.settings, _initial_model(project)))
        score = None
        if (held_out := clients.held_out) is not None:
            score = Score(lambda model: held_out.score(model, project.settings.training.seed), request.evaluate_every)
        if not request.resume:
            clear(options.out)

        def look(line: RoundLine, _: EndedRound) -> None:
            self._tell(RoundEnded(line))

        run.into(options.out, clients.backend, files, score, look, self._stop, resume=request.resume)

    def _clients_for(self, project: Project, data: ClientData, backend: BackendName) -> _Clients:
        wanted = (project.task, project.settings.name, data, backend)
        if self._clients is None or self._clients_of != wanted:
            self._clients = None  # what it has loaded goes before more is
            self._clients, self._clients_of = _Clients(project, data, backend, self._tell_apart), wanted
        return self._clients

    def _tell_apart(self, reason: str) -> None:
        self._tell(ComputedApart(reason))


def _initial_model(project: Project) -> bytes:
    return initial_model(load_task(project.task), project.directory, project.settings)
