"""Global models scored on data that no client has."""

from pathlib import Path

import msgspec

from components.client.trainer.local_update import GlobalModel
from components.client.trainer.task.loading import Task, reportable
from fedgrass.task import Client
from protocol.messages import Numbers
from simulation.networks import ReusedNetworks


class HeldOut:
    """Held-out data, as the task loads it. What it gives no test set of is all scored on.

    Raises:
        TaskError: on making and in `score`: the task can't load the data, or can't evaluate the model.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        data = task.load_data(folder, Client(thing="held-out", federation="held-out"))
        self._data = data if data.has_test else msgspec.structs.replace(data, test=data.train)
        self._task = task
        self._make_network = ReusedNetworks(task)

    def score(self, model: bytes, seed: int) -> Numbers:
        """The metrics that the task's evaluate gives; `seed` is the federation's."""
        network = self._make_network(GlobalModel(bytearray(model)), seed)
        return reportable(self._task.evaluate(network, self._data))
