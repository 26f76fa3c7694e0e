"""What a task does that does not say otherwise: train a classifier by SGD, evaluate its loss and accuracy."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from components.client.task import Data, Metrics, Training, report_progress

EVALUATION_BATCH = 512

Batch = tuple[Tensor, Tensor]


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """Trains a classifier in place by SGD with momentum on the cross-entropy, and FedProx's proximal term if asked
    (Li et al., 2020, eq. 2); stops after `settings.epochs` or `settings.steps`, whichever comes first, after one
    epoch if neither is given. The order of the examples depends on `settings.seed` alone.

    Returns "loss" (mean over the examples of the last epoch) and "steps".

    Raises:
        TypeError: the targets are not class numbers.
    """
    # SGD is written out: torch.optim imports torch's compiler, which costs a device a second and 150 MB for nothing.
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    velocities: list[Tensor | None] = [None] * len(parameters)
    anchors = [parameter.detach().clone() for parameter in parameters] if settings.proximal else []
    generator = torch.Generator().manual_seed(settings.seed)
    epochs, steps = _limits(settings)
    model.train()
    step = 0
    for epoch in range(1, epochs + 1):
        total, seen = torch.zeros(()), 0
        for inputs, targets in _batches(data.train, settings.batch_size, generator):
            if len(targets) == 1 < settings.batch_size and seen:
                continue  # a last batch of one: batch normalization cannot train on it
            loss = _loss(model(inputs), targets)
            for parameter in parameters:
                parameter.grad = None
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for index, parameter in enumerate(parameters):
                    gradient = parameter.grad
                    if gradient is None:
                        continue
                    if anchors:
                        gradient.add_(parameter - anchors[index], alpha=settings.proximal)
                    if settings.momentum:
                        velocity = velocities[index]
                        if velocity is None:
                            velocities[index] = gradient
                        else:
                            gradient = velocity.mul_(settings.momentum).add_(gradient)
                    parameter.sub_(gradient, alpha=settings.learning_rate)
            total += loss.detach() * len(targets)
            seen += len(targets)
            step += 1
            if step == steps:
                break
        report_progress(epoch=epoch, epochs=settings.epochs, step=step)
        if step == steps:
            break
    return {"loss": total.item() / seen, "steps": float(step)}


def evaluate(model: nn.Module, data: Data) -> Metrics:
    """Mean cross-entropy ("loss") and share of right answers ("accuracy") of a classifier on the test set.

    Raises:
        TypeError: the targets are not class numbers.
    """
    assert data.test is not None  # noqa: S101
    model.eval()
    loss, correct, seen = 0.0, 0, 0
    with torch.inference_mode():
        for inputs, targets in _batches(data.test, EVALUATION_BATCH, None):
            outputs = model(inputs)
            loss += _loss(outputs, targets).item() * len(targets)
            correct += int((outputs.argmax(1) == targets).sum())
            seen += len(targets)
    return {"loss": loss / seen, "accuracy": correct / seen}


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


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        raise TypeError(
            f"targets are {targets.dtype}, the default training and evaluation need class numbers (torch.long): "
            "give your task its own train() and evaluate()"
        )
    return functional.cross_entropy(outputs, targets)


def _batches(dataset: "Dataset[Any]", size: int, generator: torch.Generator | None) -> Iterator[Batch]:
    """One pass over the examples, shuffled by `generator` if there is one."""
    if not isinstance(dataset, TensorDataset):
        yield from DataLoader(dataset, size, shuffle=generator is not None, generator=generator)
        return
    inputs, targets = dataset.tensors
    if generator is None:
        yield from zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
        return
    for chosen in torch.split(torch.randperm(len(dataset), generator=generator), size):
        yield inputs[chosen], targets[chosen]
