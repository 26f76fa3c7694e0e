"""Small federations to be simulated."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cli.settings.parsing import parse
from cloud import custom_policies
from components.client.trainer.model import state_dict
from components.client.trainer.task.loading import load_task
from protocol.messages import Assignment
from simulation.backend import Backend, Done, NotDone, Work
from simulation.devices import Device, Fleet
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.model_store import ModelStore, initial_files
from simulation.run import Run
from simulation.saved_state import SavedState
from simulation.simulation import EndedRound, Simulation, beginning

TASK = '''
import os
import torch
from torch import nn
from torch.utils.data import TensorDataset
from fedgrass.task import Data


def build_model():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def load_data(directory, client):
    does = (directory / "does.txt").read_text()
    if does == "raises":
        raise ValueError("no such sensor")
    inputs = torch.randn(int((directory / "examples.txt").read_text()), 4)
    if does == "diverges":
        inputs[:] = 3e38
    return Data(Examples(inputs, inputs[:, :3].argmax(1), does), TensorDataset(inputs[:5], inputs[:5, :3].argmax(1)))


class Examples(torch.utils.data.Dataset):
    """Which do something else than they should when they are trained on."""

    def __init__(self, inputs, targets, does):
        self.inputs, self.targets, self.does = inputs, targets, does

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        if index == len(self) - 1:
            if self.does == "fails":
                raise ValueError("the sensor is wet")
            if self.does == "ends":
                os._exit(7)
            if self.does == "crashes":
                os.kill(os.getpid(), 11)
        return self.inputs[index], self.targets[index]
'''


class Federation:
    """A task, its settings, and the data of its clients: what each `does`, if not well. `devices` are the fields of
    each client's device, "*" those of all others."""

    def __init__(
        self,
        directory: Path,
        *,
        clients: int = 5,
        does: Mapping[str, str] = {},
        devices: Mapping[str, dict[str, float]] = {},
        task: str = TASK,
        policies: str | None = None,
        **settings: Any,
    ) -> None:
        self.directory = directory
        self.things = [f"c{number}" for number in range(clients)]
        training = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.9}
        raw = {"name": "f", "rounds": 3, "training": training, "deadline_s": 100.0, "extension_s": 50.0} | settings
        self.settings = parse(raw)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "task.py").write_text(task)
        if policies is not None:
            (directory / "policies.py").write_text(policies)
        for number, thing in enumerate(self.things):
            folder = directory / "data" / thing
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "examples.txt").write_text(str(20 + 3 * number))
            (folder / "does.txt").write_text(does.get(thing, "well"))
        self.fleet = Fleet({name: Device(client=name, **fields) for name, fields in devices.items()})
        self.setup = Setup(
            task=str(directory),
            federation="f",
            seed=self.settings.training.seed,
            folders={thing: str(directory / "data" / thing) for thing in self.things},
        )
        self.files = initial_files(self.settings, state_dict.dump_model(load_task(directory).build_model(), "f"))

    def simulation(self, backend: Backend | None = None) -> Simulation:
        """It, at its beginning."""
        standing = beginning(self.settings, self.files, self.things)
        return self._simulation(standing, ModelStore({0: self.files}), {}, backend)

    def resumed(self, state: SavedState) -> Simulation:
        """It, from where it was saved."""
        return self._simulation(*state.load(), None)

    def rounds(self, backend: Backend | None = None) -> list[EndedRound]:
        """All of its rounds."""
        return list(self.simulation(backend).run())

    def run(self) -> Run:
        """It, to be run into a folder."""
        return Run(
            settings=self.settings, things=tuple(self.things), fleet=self.fleet, policies=self._policies(), of={}
        )

    def _simulation(self, standing: Any, models: Any, updates: Any, backend: Backend | None) -> Simulation:
        residuals = self.directory / "residuals"
        backend = backend or LoopBackend(self.setup)
        return Simulation(standing, models, backend, self.fleet, residuals, self._policies(), updates)

    def _policies(self) -> Any:
        return custom_policies.load(self.directory, self.settings)


class Watched:
    """A backend that notes whose updates it computes, round by round."""

    def __init__(self, federation: Federation) -> None:
        self._inner = LoopBackend(federation.setup)
        self.computed: dict[int, list[str]] = {}

    @property
    def at_once(self) -> int:
        return self._inner.at_once

    def examples(self, things: Sequence[str]) -> dict[str, int | NotDone]:
        return self._inner.examples(things)

    def compute(
        self, assignment: Assignment, model: bytes, average: bytes, work: Sequence[Work]
    ) -> Iterator[Done | NotDone]:
        self.computed.setdefault(assignment.round, []).extend(one.thing for one in work)
        return self._inner.compute(assignment, model, average, work)

    def close(self) -> None:
        self._inner.close()


def digests(rounds: Sequence[EndedRound]) -> list[bytes]:
    """All that is on record of these rounds."""
    return [msgspec.json.encode((ended.record, ended.responses)) for ended in rounds]
