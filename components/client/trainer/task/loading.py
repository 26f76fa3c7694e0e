"""Finds a task's functions, calls them, and says clearly what is wrong with them."""

import contextlib
import functools
import hashlib
import importlib
import linecache
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import nn

from components.client.trainer.interruptions import InterruptionError
from components.client.trainer.learning import default_training, randomness
from components.client.trainer.learning.batches import is_iterable
from components.client.trainer.learning.isolation import without_trace
from components.client.trainer.learning.objectives import CLASSIFICATION, Loss, Objective, OwnLoss, loss_of
from components.client.trainer.model import chosen_tensors
from components.client.trainer.model.chosen_tensors import NoSuchTensorError, set_to_training
from components.client.trainer.model.state_dict import DivergedError
from components.client.trainer.task import contract, returned_values
from components.client.trainer.task.error_places import describe
from components.client.trainer.task.returned_values import ValueRefusedError
from fedgrass.task import Client, Data, DeviceState, Metrics, Training, use_defaults
from protocol.messages import Numbers

_Result = TypeVar("_Result")

_NAMES = 'it has to return a list of names of the state_dict(), or of patterns such as "head.*"'


def _nothing(*_: Any) -> Metrics:
    return {}


class TaskError(Exception):
    """The user's task is missing something, gives something that it should not, or raised an exception. `function` is
    the one of task.py that is to blame, if it is one."""

    def __init__(self, text: str, function: str | None = None) -> None:
        super().__init__(text)
        self.function = function


class WrongResultError(TaskError):
    """A function of the task returned a `result` of another type than it has to."""

    def __init__(self, text: str, function: str, result: object) -> None:
        super().__init__(text, function)
        self.result = result


class Task:
    """A user's task. Each method calls the function of its name, or does the default. `root` is the directory or zip
    file of its code, `sha256` is that of its code; `entered` is called with "train() of task.py" before that is called.

    Raises:
        TaskError: in any method: the function raised an exception (named with its line), or returned a wrong type.
        DivergedError: training has left the realm of numbers.
    """

    def __init__(self, module: ModuleType, root: Path, sha256: str, entered: Callable[[str], object]) -> None:
        self._module = module
        self.root = root
        self.sha256 = sha256
        self._entered = entered
        self._process = os.getpid()
        self._file = Path(module.__file__ or "task.py")
        fault = contract.fault_of(module, self._file.name)
        if fault is not None:
            raise TaskError(fault.text, fault.function)

    @property
    def trains_itself(self) -> bool:
        """Whether the task has a training of its own."""
        return self.has("train")

    def has(self, *names: str) -> bool:
        """Whether the task has a function of one of these names."""
        return any(hasattr(self._module, name) for name in names)

    @property
    def classifies(self) -> bool:
        """Whether the default training takes what the task gives for that of a classifier."""
        return not self.trains_itself and self.objective is CLASSIFICATION

    @functools.cached_property
    def objective(self) -> Objective:
        """What the default training lowers: the task's own loss, or a classifier's."""
        return OwnLoss(self._loss) if hasattr(self._module, "loss") else CLASSIFICATION

    def default_train(self, model: nn.Module, data: Data, settings: Training) -> Metrics:
        """See `fedgrass.task.default_train`."""
        return default_training.train(model, data, settings, self.objective)

    def default_evaluate(self, model: nn.Module, data: Data) -> Metrics:
        """See `fedgrass.task.default_evaluate`."""
        return default_training.evaluate(model, data, self.objective)

    def build_model(self, seed: int = 0) -> nn.Module:
        """The model, with its initial weights, of which the task has chosen what travels, if it does. `seed` is the
        federation's: what does not travel (as the weights that an adapter adapts) is the same everywhere."""
        randomness.seed(seed)
        model = self._call("build_model", self._module.build_model, nn.Module)
        if hasattr(self._module, "parameters"):
            self._choose(model)
        return model

    def _choose(self, model: nn.Module) -> None:
        patterns = self._call("parameters", self._module.parameters, object, model)
        named = f"parameters() of {self._file.name}"
        if not isinstance(patterns, list | tuple | set | frozenset) or not patterns:
            kind = type(patterns).__name__ if patterns else "nothing"
            raise TaskError(f"{named} returned {kind}: {_NAMES}", "parameters")
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise TaskError(f"{named} returned a list with {type(pattern).__name__} in it: {_NAMES}", "parameters")
        with self._blaming("parameters"):  # its state_dict() may be the task's own
            try:
                chosen_tensors.choose(model, patterns)
            except NoSuchTensorError as error:
                raise TaskError(f"{named} returned {error}", "parameters") from error
        if not self.trains_itself and not any(parameter.requires_grad for parameter in model.parameters()):
            raise TaskError(
                f"{named} chose no parameter that takes gradients (requires_grad): the default train() has nothing to "
                "train; choose some that build_model() does not freeze",
                "parameters",
            )

    def load_data(self, directory: Path, client: Client) -> Data:
        """The device's data, with at least one example."""
        # A split that load_data draws is the same again after a restart.
        randomness.seed(randomness.seed_of(f"data {client.federation} {client.thing}"))
        data = self._call("load_data", self._module.load_data, Data, directory, client)
        where = f"load_data() of {self._file.name}"
        with self._blaming("load_data"):
            try:
                examples, _ = data.examples, data.has_test
            except TypeError as error:
                kind = (
                    "an IterableDataset" if is_iterable(data.train) or is_iterable(data.test) else "a set of examples"
                )
                told = f"{where} gives {kind} without a length, which a device has to tell: {error}"
                raise TaskError(told, "load_data") from error
        if examples < 1:
            found = ValueError("no training examples")
            raise TaskError(f"{where} found no training examples in {directory}", "load_data") from found
        return data

    def validate(self, model: nn.Module, data: Data) -> None:
        """Passes if the model can be trained on the data: the task's own check. Without one, if it has a loss, or no
        training of its own: that this can be measured on the first examples."""
        has_nothing_to_try = self.trains_itself and self.objective is CLASSIFICATION
        default = _nothing if has_nothing_to_try else self._default_validate
        with without_trace(model):
            self._call("validate", getattr(self._module, "validate", default), object, model, data)

    def train(self, model: nn.Module, data: Data, settings: Training) -> Metrics:
        """Trains the model in place; it is in training mode then, and gradients are recorded."""
        set_to_training(model)
        with torch.enable_grad():
            metrics = self._metrics("train", self.default_train, model, data, settings)
        loss = metrics.get("loss", 0.0)
        if not math.isfinite(loss):
            raise DivergedError(f"training diverged: train() of {self._file.name} returned the loss {loss}")
        return metrics

    def evaluate(self, model: nn.Module, data: Data) -> Metrics:
        """Metrics of the model on the device's test set. It is in evaluation mode then, as for `describe`."""
        with without_trace(model):
            return self._metrics("evaluate", self.default_evaluate, model, data)

    def describe(self, model: nn.Module, data: Data) -> Metrics:
        """The task's own numbers."""
        if not self.has("describe"):
            return {}
        with without_trace(model):
            return self._metrics("describe", self._module.describe, model, data)

    def ready(self, device: DeviceState) -> bool:
        """Whether the device may train now."""
        answer = self._call("ready", getattr(self._module, "ready", lambda _device: True), object, device)
        return self._converted(returned_values.flag, answer, "ready")

    def example_inputs(self) -> tuple[torch.Tensor, ...] | None:
        """What the model can be called with, of any values, to write it down as a program; None without that."""
        if not self.has("example_inputs"):
            return None
        given = self._call("example_inputs", self._module.example_inputs, object)
        inputs = given if isinstance(given, tuple) else (given,)
        if not inputs or not all(isinstance(one, torch.Tensor) for one in inputs):
            text = f"example_inputs() of {self._file.name} has to return a tensor, or a tuple of tensors"
            raise WrongResultError(text, "example_inputs", given)
        return inputs

    def _default_validate(self, model: nn.Module, data: Data) -> None:
        default_training.validate(model, data, self.objective)

    def _loss(self, model: nn.Module, batch: Any) -> Loss:
        with self._blaming("loss"):
            returned = self._module.loss(model, batch)
        try:
            return loss_of(returned, f"loss() of {self._file.name}")
        except ValueRefusedError as error:
            raise TaskError(str(error), "loss") from None  # no fault of the data, as a cause would say

    def _metrics(self, name: str, default: Callable[..., Metrics], *arguments: Any) -> Metrics:
        metrics = self._call(name, getattr(self._module, name, default), dict, *arguments)
        return self._converted(returned_values.metrics, metrics, name)

    def _converted(self, convert: Callable[[Any, str], _Result], value: object, name: str) -> _Result:
        with self._blaming(name):
            try:
                return convert(value, f"{name}() of {self._file.name}")
            except ValueRefusedError as error:
                raise TaskError(str(error), name) from error

    def _call(self, name: str, function: Callable[..., Any], expected: type[_Result], *arguments: Any) -> _Result:
        self._entered(f"{name}() of {self._file.name}")
        try:
            with self._blaming(name):
                result = function(*arguments)
        finally:
            if os.getpid() != self._process:
                os._exit(0)  # a process that the task has forked, and lets return: the round is not its own
        if not isinstance(result, expected):
            raise WrongResultError(
                f"{name}() of {self._file.name} returned {type(result).__name__}, it has to return {expected.__name__}",
                name,
                result,
            )
        return result

    @contextlib.contextmanager
    def _blaming(self, name: str) -> Iterator[None]:
        """Raises any exception of the task anew as TaskError, which names the function."""
        try:
            yield
        except (TaskError, DivergedError, InterruptionError):
            raise
        except BaseException as error:  # sys.exit() as well: a process that just ends tells nobody why
            raise TaskError(f"{name}() of {self._file.name}: {describe(error, self.root)}", name) from error


def load_task(path: Path, entered: Callable[[str], object] = _nothing, packed: Path | None = None) -> Task:
    """The task in a directory or zip file that holds task.py, and maybe modules that it imports. `entered` is as in
    `Task`; `packed` is the zip file that the directory was unpacked from, if it was.

    A process has one task: loading another takes its place.

    Raises:
        TaskError: there is no task.py, it cannot be imported, or a required function is missing.
    """
    path = path.resolve()
    if not path.exists():
        raise TaskError(f"{path} does not exist: it has to be a directory or zip file with task.py")
    entry = str(path)
    if entry in sys.path:
        sys.path.remove(entry)
    sys.path.insert(0, entry)
    sys.modules.pop("task", None)
    importlib.invalidate_caches()
    linecache.clearcache()  # or traces would show the source of the one before
    try:
        with _uncompiled():
            module = importlib.import_module("task")
    except BaseException as error:  # sys.exit() as well, as in a script
        if isinstance(error, ModuleNotFoundError) and error.name == "task":
            raise TaskError(f"{path} holds no task.py") from error
        raise TaskError(f"task.py cannot be imported: {describe(error, path)}") from error
    if not (module.__file__ or "").startswith(entry):
        raise TaskError(f"{path} holds no task.py")
    task = Task(module, path, _digest(packed or path), entered)
    use_defaults(task)
    return task


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    """Python is not to keep what it compiles: it would take that for a file of the same length that is written within
    the same second, and it would lie in the user's folder."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _digest(path: Path) -> str:
    """SHA-256 of a task's code: of the zip file, or of all modules in the directory."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for module in sorted(path.rglob("*.py")):
        code = module.read_bytes()
        digest.update(f"{module.relative_to(path)} {len(code)}\n".encode())
        digest.update(code)
    return digest.hexdigest()


def reportable(metrics: Metrics) -> Numbers:
    """The metrics as a report carries them: None is one that is not finite."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
