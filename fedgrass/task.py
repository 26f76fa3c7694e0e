"""What a task is made of: import from here in your task.py.

A task is plain PyTorch. The module `task` (with others beside it, if you like) has `build_model() -> nn.Module` and
`load_data(directory, client) -> Data`; it may have `loss`, `parameters`, `train`, `evaluate`, `validate`, `describe`
and `ready`, for which there are defaults. All of it runs in the training process, which is kept for some rounds: the
data is loaded once.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from protocol.messages import Training

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset

__all__ = [
    "Checkpoint",
    "Client",
    "Data",
    "DeviceState",
    "Metrics",
    "Training",
    "checkpoint",
    "checkpoint_due",
    "default_evaluate",
    "default_train",
    "report_progress",
    "resume",
]

Metrics: TypeAlias = dict[str, float]
"""Numbers by name. `train` may tell in "steps" how many optimizer steps it took."""


class Client(msgspec.Struct, frozen=True):
    """Who trains: this device's thing name, and its federation."""

    thing: str
    federation: str


class Data(msgspec.Struct, frozen=True):
    """This device's data: datasets of (input, target), or of what the task's own `loss` or `train` takes. Without a
    test set, or with an empty one, the model is not evaluated here.

    A `TensorDataset` is by far the fastest: the default training and evaluation take its tensors a batch at a time.
    """

    train: "Dataset[Any]"
    test: "Dataset[Any] | None" = None

    @property
    def examples(self) -> int:
        """How many examples this device trains on: its weight in the average."""
        return len(self.train)  # type: ignore[arg-type]

    @property
    def has_test(self) -> bool:
        """Whether there is something to evaluate on."""
        return self.test is not None and len(self.test) > 0  # type: ignore[arg-type]


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """The device when a round is about to start; None is what Linux does not tell.

    `load` is the average of the last minute, in processes; `temperature_c` that of the hottest zone; `battery_percent`
    that of the emptiest battery; `metered` is what NetworkManager says of the network.
    """

    local_time: datetime
    load: float
    cpu_count: int
    memory_available_bytes: int
    disk_available_bytes: int
    temperature_c: float | None = None
    on_mains: bool | None = None
    battery_percent: float | None = None
    metered: bool | None = None


class Defaults(Protocol):
    """What is done for a task without a `train` or an `evaluate`: its loaded task has it."""

    def default_train(self, model: "nn.Module", data: Data, settings: Training) -> Metrics: ...

    def default_evaluate(self, model: "nn.Module", data: Data) -> Metrics: ...


class NotLoadedError(RuntimeError):
    """No task has been loaded, whose `loss` the defaults would lower."""


_defaults: list[Defaults] = []


def default_train(model: "nn.Module", data: Data, settings: Training) -> Metrics:
    """What is done without a `train`, checkpoints included: SGD on the task's `loss`, or on a classifier's
    cross-entropy. Call it in a `train` of your own that does something before it or after it."""
    return _loaded().default_train(model, data, settings)


def default_evaluate(model: "nn.Module", data: Data) -> Metrics:
    """What is done without an `evaluate`: the mean loss on the test set, and other metrics. Call it in an `evaluate` of
    your own that adds some."""
    return _loaded().default_evaluate(model, data)


def use_defaults(defaults: Defaults) -> None:
    """Has `default_train` and `default_evaluate` call these."""
    _defaults[:] = [defaults]


def _loaded() -> Defaults:
    if not _defaults:
        raise NotLoadedError(
            "default_train() and default_evaluate() are there in a task that was loaded: outside of fedgrass, call "
            "load_task() of components.client.trainer.task.loading first"
        )
    return _defaults[0]


Listener: TypeAlias = Callable[[int | None, int | None, int | None], None]
"""Takes epoch, epochs and step, as `train` gave them."""

_listeners: list[Listener] = []


def report_progress(*, epoch: int | None = None, epochs: int | None = None, step: int | None = None) -> None:
    """Shows in the device's shadow how far training is. Call it from your `train` as often as you like. What is no
    count is left out."""
    for listener in _listeners:
        listener(epoch, epochs, step)


def listen_to_progress(listener: Listener) -> None:
    """Has `report_progress` call this listener, and no other."""
    _listeners[:] = [listener]


Value: TypeAlias = "float | str | list[Value] | dict[str, Value] | None"
"""What a checkpoint has beside tensors: numbers, truth values, texts, None, and lists and dicts of these. Scalars of
numpy and torch come back as numbers, tuples as lists."""


class Checkpoint(msgspec.Struct, frozen=True):
    """What `checkpoint` was told, as `resume` gives it back."""

    tensors: "dict[str, Tensor]"
    values: dict[str, Any]


class Checkpoints(Protocol):
    """Where checkpoints are stored: the training process has one."""

    def resume(self, model: "nn.Module") -> Checkpoint | None: ...

    def due(self, step: int, *, epoch_ended: bool) -> bool: ...

    def save(self, model: "nn.Module", values: Mapping[str, Any], own: "Mapping[str, Tensor]") -> None: ...


_stores: list[Checkpoints] = []


def resume(model: "nn.Module") -> Checkpoint | None:
    """Call it once in your `train`, after what needs the global model's weights and before the first step: None if
    training begins; else it was cut off, and the model has its weights of the last checkpoint again, and torch,
    numpy and `random` their states."""
    return _stores[0].resume(model) if _stores else None


def checkpoint_due(step: int, *, epoch_ended: bool = False) -> bool:
    """Whether `checkpoint` is to be called now. Ask after each step, so that training can also be stopped in time when
    the device shuts down; `step` counts the steps from the beginning."""
    return _stores[0].due(step, epoch_ended=epoch_ended) if _stores else False


def checkpoint(
    model: "nn.Module", *, values: "Mapping[str, Value] | None" = None, tensors: "Mapping[str, Tensor] | None" = None
) -> None:
    """Saves the model, the states of the random number generators, and what your `train` needs besides, such as its
    position in `values` and an optimizer's momentum in `tensors`; the checkpoint before is replaced.

    Raises:
        ValueRefusedError: something among them cannot be kept; the text names it.
    """
    if _stores:
        _stores[0].save(model, values or {}, tensors or {})


def use_checkpoints(store: Checkpoints | None) -> None:
    """Has `resume`, `checkpoint_due` and `checkpoint` use this store, or none."""
    _stores[:] = [] if store is None else [store]
