"""Whether a model takes the data: its first batch, and what all targets are."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from cli.checking import data_checks
from cli.checking.data_checks import Complaint
from cli.checking.layers import explain, last_layer
from cli.checking.telling import Teller
from components.client.trainer.learning.classification import check
from components.client.trainer.learning.isolation import without_trace
from components.client.trainer.learning.objectives import pair
from components.client.trainer.task.loading import Task, TaskError
from fedgrass.task import Data
from protocol.messages import Training

_DEFAULT = re.compile("[:,] the default")
_PAIRS = (
    "give examples of (input, label), such as those of TensorDataset(inputs, labels), or task.py a loss(model, batch)"
)


class Fitting:
    """Looks at the data of clients beside the task's model; what is wrong is told."""

    def __init__(self, task: Task, settings: Training, entered: Callable[[str], None], teller: Teller) -> None:
        self._task = task
        self._settings = settings
        self._entered = entered
        self._teller = teller
        self._warned: set[str] = set()

    def looks_right(self, data: Data) -> bool:
        """Whether the values of the data are such that training can use them; what a task takes that trains itself, or
        has a loss of its own, is for it to say."""
        return all(self._is_right(name, dataset) for name, dataset in _sets(data))

    def validates(self, data: Data) -> bool:
        """Whether the task's own check lets it pass, or the default one."""
        model = self._task.build_model(self._settings.seed)
        try:
            self._task.validate(model, data)
        except TaskError as error:
            again = self._task.build_model(self._settings.seed)
            self._teller.error(error, "validate", explain(again, lambda: self._task.validate(again, data)))
            return False
        return True

    def _is_right(self, name: str, dataset: Any) -> bool:
        self._entered(f"the {name} set's first examples")
        try:
            complaints = [*data_checks.of_inputs(name, dataset)]
            batch = data_checks.first_batch(dataset, self._settings.batch_size)
        except Exception as error:  # the task's own dataset may raise anything
            if not self._task.trains_itself:
                self._teller.error(error, "load_data")
            return self._task.trains_itself
        if not self._task.classifies:
            complaints = [complaint._replace(severity="warning") for complaint in complaints]
        elif not any(complaint.severity == "error" for complaint in complaints):
            found = self._of_batch(name, dataset, batch)
            if found is None:
                return False
            complaints += found
        for complaint in complaints:
            if complaint.severity == "error" or complaint.remedy not in self._warned:  # once, not for each client
                self._warned.add(complaint.remedy)
                self._teller.complaint("load_data", complaint)
        return all(complaint.severity != "error" for complaint in complaints)

    def _of_batch(self, name: str, dataset: Any, batch: Any) -> list[Complaint] | None:
        """What is wrong with the data, going by the first batch's way through the model; None if that has been told."""
        try:
            inputs, targets = pair(batch)
        except TypeError as error:
            return [Complaint(f"the {name} set: {_DEFAULT.split(str(error))[0]}", _PAIRS)]
        model = self._task.build_model(self._settings.seed)
        self._entered(f"the model on the {name} set's first batch")
        try:
            with without_trace(model), torch.no_grad():
                layer, outputs = last_layer(model, lambda: model(inputs))
        except Exception as error:  # the task's own model may raise anything
            with without_trace(model), torch.no_grad():
                explanation = explain(model, lambda: model(inputs))
            self._teller.error(error, "build_model", explanation)
            return None
        try:
            check(outputs, targets)
        except TypeError as error:
            text = _DEFAULT.split(str(error))[0]
            return [Complaint(f"the {name} set: {text}", data_checks.of_pairing(outputs, targets))]
        assert isinstance(outputs, Tensor)  # noqa: S101 - it has been checked
        scores = data_checks.of_scores(layer, outputs)
        if scores is not None:
            self._teller.complaint("build_model", scores)
        return [*data_checks.of_targets(dataset, outputs, name)]


def _sets(data: Data) -> Iterator[tuple[str, Any]]:
    yield "training", data.train
    if data.has_test:
        yield "test", data.test
