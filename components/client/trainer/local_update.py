"""What one client computes in a round: from a global model's bytes and its own data to the bytes of its update, or of
its evaluation.

A device does this between a download and an upload, with checkpoints (`local_round.py`); simulation does it for many
clients in one process. Both get the same bits.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
from torch import nn

from components.client.trainer.learning import randomness
from components.client.trainer.learning.local_data import DataError
from components.client.trainer.model import state_dict
from components.client.trainer.model.placing import CPU, place
from components.client.trainer.task.loading import Task, TaskError, reportable
from fedgrass.task import Client, Data, Metrics, Training
from protocol import tensors
from protocol.encodings import EVALUATION, Floats, Integers, update_layout
from protocol.local_steps import count_steps
from protocol.messages import (
    MAX_INTEGER,
    MAX_REPORT_BYTES,
    Assignment,
    Numbers,
    Report,
    Timings,
    encode,
)


class GlobalModel:
    """A global model's file, as clients download it. Its bytes stay as they are.

    Raises:
        InvalidTensorsError: it is none.
    """

    def __init__(self, file: bytearray) -> None:
        self.header = tensors.parse_header(file, len(file))
        self.values = state_dict.views(self.header, file)
        self._loaded_schema: state_dict.Schema | None = None

    def loaded_schema(self, network: nn.Module) -> state_dict.Schema:
        """The schema of a network with its numbers: the same for all that the task's build_model() makes."""
        if self._loaded_schema is None:
            self._loaded_schema = state_dict.schema(network)
        return self._loaded_schema


MakeNetwork: TypeAlias = Callable[[GlobalModel, int], nn.Module]
"""The task's model for one use, with the numbers of the global model; what does not travel is made with the
federation's seed."""


def fresh_networks(task: Task) -> MakeNetwork:
    """The model is built anew for each use, so that none sees what another has left in it."""

    def make(model: GlobalModel, seed: int) -> nn.Module:
        network = task.build_model(seed)
        state_dict.load(network, model.header, model.values)
        return network

    return make


class Trained(msgspec.Struct, frozen=True, eq=False):
    """What local training has given: how the model `change`d, and what the report says of it."""

    change: tuple[Floats, Integers]
    steps: int
    after: Numbers
    describe: Numbers


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """What a client has measured of the global model, and of the moving average."""

    before: Numbers
    average: Numbers


class LocalUpdate:
    """One client's work for an assignment, in its order: `evaluate_global`, `train`, `measure`, `report`, `encode`; or
    `evaluate`, `evaluation`.

    Raises:
        TaskError, InvalidModelError, SchemaMismatchError, InvalidTensorsError, UnsupportedModelError, DivergedError:
            in any method: the round cannot succeed for this client; the text says why.
    """

    def __init__(
        self,
        task: Task,
        client: Client,
        data: Data,
        assignment: Assignment,
        model: GlobalModel,
        make_network: MakeNetwork,
    ) -> None:
        self._task = task
        self._client = client
        self._data = data
        self._assignment = assignment
        self._model = model
        self._make_network = make_network
        self._seed = local_seed(assignment.training.seed, assignment.round, client.thing)
        self.layout = update_layout(model.header, assignment.encoding)

    def network(self) -> nn.Module:
        """A model with the global one's numbers; the random number generators are seeded."""
        return self._network_of(self._model)

    def evaluate_global(self) -> Numbers:
        """The global model's metrics on this client's test set, if it has one."""
        return reportable(self._evaluate(self.network())) if self._data.has_test else {}

    def evaluate(self, average: GlobalModel | None) -> Evaluated:
        """What both models are like on this client's test set.

        Raises:
            DataError: it has none.
        """
        if not self._data.has_test:
            raise DataError("there is no test set to evaluate on: have load_data() give one, or set held_out above 0")
        of_average = {} if average is None else reportable(self._evaluate(self._network_of(average)))
        return Evaluated(before=self.evaluate_global(), average=of_average)

    def evaluation(self, evaluated: Evaluated, timings: Timings) -> bytes:
        """The file of an evaluation: a report, and no tensors."""
        report = self._report(
            encoding=EVALUATION.encoding,
            steps=0,
            before=evaluated.before,
            average=evaluated.average,
            timings=timings,
        )
        return tensors.encode_header(EVALUATION.tensors, encode(report).decode())

    def train(self, network: nn.Module) -> Metrics:
        """Trains in place; the model is on the CPU then."""
        settings: Training = msgspec.structs.replace(self._assignment.training, seed=self._seed)
        with self._same_tensors_after(network, "train"):
            trained = self._task.train(network, self._data, settings)
            if self._task.trains_itself:
                place(network, CPU)
        return trained

    def measure(self, network: nn.Module, trained: Metrics) -> Trained:
        """What training has changed, and what it was good for."""
        change = state_dict.delta(network, self._model.values, self.layout)  # before an evaluation could change it
        after = self._evaluate(network)
        others = dict(trained)
        steps = others.pop("steps", math.nan)
        counts = 1 <= steps <= MAX_INTEGER
        return Trained(
            change=change,
            steps=int(steps) if counts else count_steps(self._assignment.training, self._data.examples),
            after=reportable({f"train_{name}": value for name, value in others.items()} | after),
            describe=reportable(self._task.describe(network, self._data)),
        )

    def report(self, before: Numbers, trained: Trained, timings: Timings) -> Report:
        """What goes with the update."""
        return self._report(
            encoding=self._assignment.encoding,
            steps=trained.steps,
            before=before,
            after=trained.after,
            describe=trained.describe,
            timings=timings,
        )

    def _report(self, **own: Any) -> Report:
        report = Report(
            federation=self._client.federation,
            life=self._assignment.life,
            round=self._assignment.round,
            thing=self._client.thing,
            base=self._assignment.model.sha256,
            examples=self._data.examples,
            **own,
        )
        report_bytes = len(encode(report))
        if report_bytes > MAX_REPORT_BYTES:
            raise TaskError(
                f"train(), evaluate() and describe() of task.py make a report of {report_bytes:,} bytes, "
                f"the cloud takes {MAX_REPORT_BYTES:,}: return fewer numbers"
            )
        return report

    def encode(self, trained: Trained, report: Report, residual: Floats | None) -> tuple[bytes, Floats | None]:
        """The update's file, and the residual that a lossy encoding leaves, as `residual` was left by the update
        before."""
        return state_dict.dump_change(trained.change, self.layout, report, residual)

    def _network_of(self, model: GlobalModel) -> nn.Module:
        network = self._make_network(model, self._assignment.training.seed)
        randomness.seed(self._seed)
        return network

    def _evaluate(self, network: nn.Module) -> Metrics:
        if not self._data.has_test:
            return {}
        with self._same_tensors_after(network, "evaluate"):
            return self._task.evaluate(network, self._data)

    @contextlib.contextmanager
    def _same_tensors_after(self, network: nn.Module, name: str) -> Iterator[None]:
        before = self._model.loaded_schema(network)
        yield
        change = state_dict.first_change(before, state_dict.schema(network))
        if change is not None:
            raise TaskError(f"{name}() of task.py has made another model of it: {change}")


def local_seed(seed: int, round_number: int, thing: str) -> int:
    """The seed of one client's training in one round: the same again for the same three, different otherwise."""
    return randomness.seed_of(f"{seed} {round_number} {thing}")
