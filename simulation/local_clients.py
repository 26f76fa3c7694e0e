"""Clients' local updates, computed in this process: by what computes them on a device."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import torch
from torch import nn

from components.client.reasons import shorten
from components.client.trainer.failures import explain
from components.client.trainer.learning.local_data import DataError, LocalData
from components.client.trainer.local_update import GlobalModel, LocalUpdate
from components.client.trainer.task.loading import Task, TaskError, load_task
from fedgrass.task import Client, Data, Metrics
from protocol.messages import Assignment
from simulation.backend import Done, NotDone, Work
from simulation.networks import ReusedNetworks

Train: TypeAlias = Callable[[nn.Module], Metrics]
"""Trains a model in place."""


class Models(msgspec.Struct, frozen=True):
    """What clients work with: the global model, and the moving average if that is to be evaluated as well."""

    model: GlobalModel
    average: GlobalModel | None

    @classmethod
    def of(cls, model: bytes, average: bytes) -> "Models":
        """From their files; no bytes are no average."""
        return cls(GlobalModel(bytearray(model)), GlobalModel(bytearray(average)) if average else None)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Whose clients these are: the directory of the task, and of each client's data. `seed` is the federation's."""

    task: str
    federation: str
    seed: int
    folders: dict[str, str]


class LocalClients:
    """The clients of a simulation. The data of each is loaded when it is first needed, and kept.

    Raises:
        TaskError: the task cannot be loaded.
    """

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(1)  # as devices of a demo have; and another number may give other bits
        self.task: Task = load_task(Path(setup.task))
        self._setup = setup
        self._make_network = ReusedNetworks(self.task)
        self._loaders: dict[str, LocalData] = {}
        self._data: dict[str, Data] = {}

    @property
    def loaded(self) -> Mapping[str, Data]:
        """The data that has been loaded, by client."""
        return self._data

    def examples(self, thing: str) -> int | NotDone:
        """How many training examples a client has, or why it declines."""
        try:
            return self.data(thing).examples
        except Exception as error:
            return not_done(thing, error)

    def data(self, thing: str) -> Data:
        """A client's data.

        Raises:
            DataError, TaskError: as `LocalData.get`.
        """
        if thing not in self._data:
            client = Client(thing=thing, federation=self._setup.federation)
            loader = LocalData(self.task, Path(self._setup.folders[thing]), client, 0.0, lambda _: None)
            self._data[thing] = loader.get(lambda: self.task.build_model(self._setup.seed))
            self._loaders[thing] = loader
        return self._data[thing]

    def network(self, model: GlobalModel, seed: int) -> nn.Module:
        """The task's model with the numbers of a global one."""
        return self._make_network(model, seed)

    def compute(self, assignment: Assignment, models: Models, work: Work) -> Done | NotDone:
        """What a device would upload, or report, for an assignment to train or to evaluate."""
        if assignment.evaluate is None:
            return self.train(assignment, models.model, work)
        try:
            with self._local(assignment, models.model, work) as local:
                evaluated = local.evaluate(models.average)
            return Done(thing=work.thing, update=local.evaluation(evaluated, work.timings))
        except Exception as error:
            return not_done(work.thing, error)

    def train(
        self, assignment: Assignment, model: GlobalModel, work: Work, train: Train | None = None
    ) -> Done | NotDone:
        """As `compute`, for an assignment to train; `train` trains its model in place of the task."""
        try:
            with self._local(assignment, model, work) as local:
                before = local.evaluate_global()
                network = local.network()
                trained = local.measure(network, (train or local.train)(network))
            report = local.report(before, trained, work.timings)
            residual = np.frombuffer(work.residual, np.float32) if work.residual else None
            update, residual = local.encode(trained, report, residual)
            return Done(thing=work.thing, update=update, residual=b"" if residual is None else residual.tobytes())
        except Exception as error:
            return not_done(work.thing, error)

    @contextlib.contextmanager
    def _local(self, assignment: Assignment, model: GlobalModel, work: Work) -> Iterator[LocalUpdate]:
        """A client's work, whose errors are those of its data if this has changed meanwhile."""
        data = self.data(work.thing)
        client = Client(thing=work.thing, federation=self._setup.federation)
        try:
            yield LocalUpdate(self.task, client, data, assignment, model, self._make_network)
        except TaskError as error:
            change = self._loaders[work.thing].change()
            if change is None:
                raise
            raise DataError(f"{error}; {change}") from error


def not_done(thing: str, error: Exception) -> NotDone:
    """What a device says of an exception that ended its round."""
    if isinstance(error, DataError):
        return NotDone(thing=thing, phase="declined", reason=shorten(str(error)))
    return NotDone(thing=thing, phase="failed", reason=explain(error))
