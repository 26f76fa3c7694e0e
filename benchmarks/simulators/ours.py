"""fedgrass: what `fedgrass simulate` runs, the run folder included."""

import itertools
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from benchmarks.simulators.cases import PROJECT, client_folders
from benchmarks.simulators.plain import accuracy
from cli.initial_model import initial_model
from cli.project import load
from components.client.trainer.model.state_dict import views
from components.client.trainer.task.loading import load_task
from protocol.tensors import parse_header
from simulation.devices import Fleet
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.model_store import initial_files
from simulation.run import Run
from simulation.stopping import Stop
from simulation.vectorized.backend import VectorizedBackend

if TYPE_CHECKING:
    from simulation.backend import Backend


class Ours:
    """One backend, which keeps the clients' data. Vectorized has so many threads."""

    def __init__(self, directory: Path, threads: int = 0) -> None:
        self._directory = directory
        self._project = load(directory / PROJECT)
        self._folders = {folder.name: str(folder) for folder in client_folders(directory)}
        settings = self._project.settings
        setup = Setup(task=str(directory / PROJECT), federation=settings.name, seed=0, folders=self._folders)
        self._backend: Backend = VectorizedBackend(setup, threads, self._refuse) if threads else LoopBackend(setup)
        self._model = initial_model(load_task(self._project.task), directory, settings)

    def rounds(self, number: int) -> list[float]:
        """The seconds of each round but the first, which is not counted."""
        settings = msgspec.structs.replace(self._project.settings, rounds=number + 1)
        things = tuple(self._folders)
        run = Run(settings=settings, things=things, fleet=Fleet(), policies=None, of={})
        ends: list[float] = []
        out = Path(tempfile.mkdtemp(prefix="fedgrass-simulate-"))
        try:
            with Stop() as stop:
                files = initial_files(settings, self._model)
                look = lambda *_: ends.append(time.perf_counter())  # noqa: E731
                run.into(out / "run", self._backend, files, None, look, stop, resume=False)
            self._last = (out / "run" / "model.safetensors").read_bytes()
        finally:
            shutil.rmtree(out)
        return [end - start for start, end in itertools.pairwise(ends)]

    def accuracy(self) -> float:
        """Of the last round's model."""
        values = views(parse_header(self._last, len(self._last)), bytearray(self._last))
        order = [f"{layer}.{kind}" for layer in (1, 3, 5) for kind in ("weight", "bias")]
        return accuracy([values[name].to(torch.float32) for name in order], self._directory)

    def _refuse(self, reason: str) -> None:
        raise RuntimeError(f"clients are not computed together: {reason}")
