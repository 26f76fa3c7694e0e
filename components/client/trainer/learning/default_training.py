"""What a task does that does not say otherwise: train a classifier by SGD, evaluate its loss and accuracy."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from components.client.trainer.learning.batches import batches, move
from components.client.trainer.learning.classification import IGNORED, check, count_targets, loss_of, right_answers
from components.client.trainer.learning.isolation import without_trace
from components.client.trainer.model.state_dict import DivergedError
from fedgrass.task import Data, Metrics, Training, checkpoint, checkpoint_due, report_progress, resume
from protocol.local_steps import limits

EVALUATION_BATCH = 512


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """Trains a classifier in place by SGD with momentum on the cross-entropy, and FedProx's proximal term if asked
    (Li et al., 2020, eq. 2); stops after `settings.epochs` or `settings.steps`, whichever comes first, after one
    epoch if neither is given. The order of the examples depends on `settings.seed` alone. Goes on from a checkpoint,
    with the same bits as if it had not been cut off. A GPU is used if there is one; the model is back on the CPU then.

    Returns "loss" (mean over the targets of the last epoch) and "steps".

    Raises:
        TypeError: examples or targets are not those of a classifier; see `classification.check`.
        ValueError: no target counts.
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
    epochs, steps = limits(settings)
    sgd = _Sgd(model, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    epoch = 1
    batch = step = seen = counted = 0
    total = torch.zeros((), device=device)
    saved = resume(model)
    if saved is not None:
        epoch, batch, step, seen, counted = (
            saved.values[name] for name in ("epoch", "batch", "step", "seen", "counted")
        )
        generator.set_state(saved.tensors["order"])
        total = saved.tensors["total"].to(device)
        sgd.load(saved.tensors)

    def save(order: Tensor) -> None:
        checkpoint(
            model,
            values={"epoch": epoch, "batch": batch, "step": step, "seen": seen, "counted": counted},
            tensors={"order": order, "total": total} | sgd.state(),
        )

    while True:
        order = generator.get_state()
        for inputs, targets in batches(data.train, settings.batch_size, generator, batch):
            batch += 1
            if len(targets) == 1 < settings.batch_size and seen:
                continue  # a last batch of one: batch normalization cannot train on it
            outputs = model(move(inputs, device))
            check(outputs, targets)
            loss = loss_of(outputs, targets)
            sgd.step(loss)
            count = count_targets(targets)
            if count:  # else the loss is nan, and its gradient 0
                total += loss.detach() * count
            counted += count
            seen += len(targets)
            step += 1
            if step == steps:
                break
            if checkpoint_due(step):
                save(order)
        if counted == 0:
            raise ValueError(
                f"no target of the training set counts: all of epoch {epoch} are {IGNORED}, or there are none"
            )
        mean = total.item() / counted
        report_progress(epoch=epoch, epochs=settings.epochs, step=step)
        if not math.isfinite(mean):
            raise DivergedError(f"training diverged: the loss is {mean} in epoch {epoch}, at step {step}")
        if step == steps or epoch == epochs:
            return {"loss": mean, "steps": float(step)}
        epoch += 1
        batch = seen = counted = 0
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
                if gradient.is_sparse and (self._anchors or self._settings.momentum):
                    gradient = gradient.to_dense()
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
    """Mean cross-entropy ("loss") and share of right answers ("accuracy") of a classifier on the test set, over all
    targets that count; nothing if none does. A GPU is used if there is one. Afterwards the model is where and in the
    mode that it was, and nothing has been drawn from the random number generators.

    Raises:
        TypeError: examples or targets are not those of a classifier; see `classification.check`.
    """
    assert data.test is not None  # noqa: S101
    device = best_device()
    loss, right, counted = 0.0, 0, 0
    with without_trace(model), torch.no_grad():
        model.to(device)
        for inputs, targets in batches(data.test, EVALUATION_BATCH, None):
            outputs = model(move(inputs, device))
            check(outputs, targets)
            count = count_targets(targets)
            if count:
                loss += loss_of(outputs, targets).item() * count
                right += right_answers(outputs, targets)
                counted += count
    return {"loss": loss / counted, "accuracy": right / counted} if counted else {}


def validate(model: nn.Module, data: Data) -> None:
    """Passes if the model takes the first examples of the training and of the test set.

    Raises:
        TypeError, ValueError, RuntimeError, IndexError: it does not; the text is torch's, with the example's shape.
    """
    for name, dataset in (("training", data.train), ("test", data.test)):
        if dataset is None or len(dataset) == 0:  # type: ignore[arg-type]
            continue
        inputs, targets = next(batches(Subset(dataset, [0]), 1, None))
        try:
            with without_trace(model), torch.no_grad():
                outputs = model(inputs)
                check(outputs, targets)
                loss_of(outputs, targets)
        except (RuntimeError, ValueError, IndexError) as error:
            shape = (
                f"{list(inputs.shape[1:])} ({inputs.dtype})" if isinstance(inputs, Tensor) else type(inputs).__name__
            )
            target = targets.tolist()[0] if targets[0].numel() == 1 else f"of shape {list(targets.shape[1:])}"
            raise ValueError(
                f"the model does not take the first {name} example, {shape} with target {target}: {error}"
            ) from error


def best_device() -> torch.device:
    """Where the default training and evaluation compute: on the GPU, if torch can use one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
