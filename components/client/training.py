"""What a task does that does not say otherwise: train a classifier by SGD, evaluate its loss and accuracy."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, Subset, TensorDataset, default_collate

from components.client.state_dict import DivergedError
from components.client.task import Data, Metrics, Training, checkpoint, checkpoint_due, report_progress, resume

EVALUATION_BATCH = 512

Batch = tuple[Any, Tensor]


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """Trains a classifier in place by SGD with momentum on the cross-entropy, and FedProx's proximal term if asked
    (Li et al., 2020, eq. 2); stops after `settings.epochs` or `settings.steps`, whichever comes first, after one
    epoch if neither is given. The order of the examples depends on `settings.seed` alone. Goes on from a checkpoint,
    with the same bits as if it had not been cut off. A GPU is used if there is one; the model is back on the CPU then.

    Returns "loss" (mean over the examples of the last epoch) and "steps".

    Raises:
        TypeError: the targets are not class numbers.
        DivergedError: the loss is not a finite number.
    """
    device = best_device()
    model.to(device)
    model.train()
    try:
        return _train(model, data, settings, device)
    finally:
        model.cpu()


def _train(model: nn.Module, data: Data, settings: Training, device: torch.device) -> Metrics:
    epochs, steps = _limits(settings)
    sgd = _Sgd(model, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    epoch = 1
    batch = step = seen = 0
    total = torch.zeros((), device=device)
    saved = resume(model)
    if saved is not None:
        epoch, batch, step, seen = (int(saved.values[name] or 0) for name in ("epoch", "batch", "step", "seen"))
        generator.set_state(saved.tensors["order"])
        total = saved.tensors["total"].to(device)
        sgd.load(saved.tensors)

    def save(order: Tensor) -> None:
        checkpoint(
            model,
            values={"epoch": epoch, "batch": batch, "step": step, "seen": seen},
            tensors={"order": order, "total": total} | sgd.state(),
        )

    while True:
        order = generator.get_state()
        for inputs, targets in _batches(data.train, settings.batch_size, generator, batch):
            batch += 1
            if len(targets) == 1 < settings.batch_size and seen:
                continue  # a last batch of one: batch normalization cannot train on it
            targets = targets.to(device)
            loss = _loss(model(_move(inputs, device)), targets)
            sgd.step(loss)
            total += loss.detach() * len(targets)
            seen += len(targets)
            step += 1
            if step == steps:
                break
            if checkpoint_due(step):
                save(order)
        mean = total.item() / seen
        report_progress(epoch=epoch, epochs=settings.epochs, step=step)
        if not math.isfinite(mean):
            raise DivergedError(f"training diverged: the loss is {mean} in epoch {epoch}, at step {step}")
        if step == steps or epoch == epochs:
            return {"loss": mean, "steps": float(step)}
        epoch += 1
        batch = seen = 0
        total = torch.zeros((), device=device)
        if checkpoint_due(step, epoch_ended=True):
            save(generator.get_state())


class _Sgd:
    """Stochastic gradient descent with momentum, written out: torch.optim imports torch's compiler, which costs a
    device a second and 150 MB for nothing."""

    def __init__(self, model: nn.Module, settings: Training) -> None:
        self._settings = settings
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._velocities: list[Tensor | None] = [None] * len(self._parameters)
        self._anchors = [parameter.detach().clone() for parameter in self._parameters] if settings.proximal else []

    def step(self, loss: Tensor) -> None:
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for index, parameter in enumerate(self._parameters):
                gradient = parameter.grad
                if gradient is None:
                    continue
                if self._anchors:
                    gradient.add_(parameter - self._anchors[index], alpha=self._settings.proximal)
                if self._settings.momentum:
                    velocity = self._velocities[index]
                    if velocity is None:
                        self._velocities[index] = gradient
                    else:
                        gradient = velocity.mul_(self._settings.momentum).add_(gradient)
                parameter.sub_(gradient, alpha=self._settings.learning_rate)

    def state(self) -> dict[str, Tensor]:
        return {f"velocity.{index}": value for index, value in enumerate(self._velocities) if value is not None}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._velocities = [
            None if (value := state.get(f"velocity.{index}")) is None else value.to(parameter.device)
            for index, parameter in enumerate(self._parameters)
        ]


def evaluate(model: nn.Module, data: Data) -> Metrics:
    """Mean cross-entropy ("loss") and share of right answers ("accuracy") of a classifier on the test set. A GPU is
    used if there is one; the model is back on the CPU then.

    Raises:
        TypeError: the targets are not class numbers.
    """
    assert data.test is not None  # noqa: S101
    device = best_device()
    model.to(device)
    model.eval()
    loss, correct, seen = 0.0, 0, 0
    try:
        with torch.inference_mode():
            for inputs, targets in _batches(data.test, EVALUATION_BATCH, None):
                targets = targets.to(device)
                outputs = model(_move(inputs, device))
                loss += _loss(outputs, targets).item() * len(targets)
                correct += int((outputs.argmax(1) == targets).sum())
                seen += len(targets)
    finally:
        model.cpu()
    return {"loss": loss / seen, "accuracy": correct / seen}


def validate(model: nn.Module, data: Data) -> None:
    """Passes if the model takes the first examples of the training and of the test set.

    Raises:
        TypeError, ValueError, RuntimeError, IndexError: it does not; the text is torch's, with the example's shape.
    """
    model.eval()
    for name, dataset in (("training", data.train), ("test", data.test)):
        if dataset is None or len(dataset) == 0:  # type: ignore[arg-type]
            continue
        inputs, targets = next(_batches(Subset(dataset, [0]), 1, None))
        try:
            with torch.inference_mode():
                _loss(model(inputs), targets)
        except (RuntimeError, ValueError, IndexError) as error:
            shape = (
                f"{list(inputs.shape[1:])} ({inputs.dtype})" if isinstance(inputs, Tensor) else type(inputs).__name__
            )
            raise ValueError(
                f"the model does not take the first {name} example, {shape} with target {targets.tolist()[0]}: {error}"
            ) from error


def best_device() -> torch.device:
    """Where the default training and evaluation compute: on the GPU, if torch can use one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def count_steps(settings: Training, examples: int) -> int:
    """How many optimizer steps these settings ask for."""
    epochs, steps = _limits(settings)
    if epochs == _ENDLESS:
        return steps
    in_epochs = epochs * math.ceil(examples / settings.batch_size)
    return min(steps, in_epochs) if steps else in_epochs


_ENDLESS = 1 << 62


def _limits(settings: Training) -> tuple[int, int]:
    """The number of epochs, and of steps, 0 if these are not limited."""
    steps = settings.steps or 0
    return settings.epochs or (_ENDLESS if steps else 1), steps


def _move(inputs: Any, device: torch.device) -> Any:
    """The inputs of a batch on the device: a tensor, or tensors in lists and dictionaries."""
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    if isinstance(inputs, Mapping):
        return {name: _move(value, device) for name, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return [_move(value, device) for value in inputs]
    return inputs


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        raise TypeError(
            f"targets are {targets.dtype}, the default training and evaluation need class numbers (torch.long): "
            "give your task its own train() and evaluate()"
        )
    return functional.cross_entropy(outputs, targets)


def _batches(dataset: "Dataset[Any]", size: int, generator: torch.Generator | None, skip: int = 0) -> Iterator[Batch]:
    """One pass over the examples, shuffled by `generator` if there is one, without the first `skip` batches."""
    examples = len(dataset)  # type: ignore[arg-type]
    chosen = torch.arange(examples) if generator is None else torch.randperm(examples, generator=generator)
    if isinstance(dataset, Subset) and isinstance(dataset.dataset, TensorDataset):
        chosen = torch.as_tensor(dataset.indices)[chosen]
        dataset = dataset.dataset
    for part in torch.split(chosen, size)[skip:]:
        if isinstance(dataset, TensorDataset):
            inputs, targets = dataset.tensors
            yield inputs[part], targets[part]
        else:
            inputs, targets = default_collate([dataset[index] for index in part.tolist()])
            yield inputs, targets
