"""What the default training lowers and the default evaluation measures: a classifier's cross-entropy, or a loss of the
task's own."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from components.client.trainer.learning import classification
from components.client.trainer.learning.batches import Batch, batches, move
from components.client.trainer.task.returned_values import ValueRefusedError, metrics
from fedgrass.task import Training

if TYPE_CHECKING:
    from torch.utils.data import Dataset

COUNTED_AT_ONCE = 512

CALIBRATES_NOTHING = (
    "training.logit_calibration shifts the scores of a classifier that the default training trains, and this task has "
    "a loss() or a train() of its own"
)


class Measured(NamedTuple):
    """A model on a batch: its loss, which is a mean over `counted` targets or examples, and what gives the sums of
    other metrics over these. The mean over none is nan, and has the gradient 0."""

    loss: Tensor
    counted: int
    sums: Callable[[], dict[str, float]]


class Objective(Protocol):
    """What a model is measured by; it is on the device already."""

    def measure(self, model: nn.Module, batch: Batch, device: torch.device) -> Measured: ...

    def try_out(self, model: nn.Module, batch: Batch, name: str) -> None:
        """Passes if a model can be measured on these examples, the first ones of the set of that name."""


class _Classification:
    """Cross-entropy and accuracy over the targets that count, of batches of inputs and targets: see `classification`.
    `adjust` is given the model's scores.

    Raises:
        TypeError: in any method: examples or targets are not those of a classifier.
    """

    def __init__(self, adjust: Callable[[Tensor], Tensor] = lambda scores: scores) -> None:
        self._adjust = adjust

    def measure(self, model: nn.Module, batch: Batch, device: torch.device) -> Measured:
        inputs, targets = pair(batch.content)
        outputs = model(move(inputs, device))
        classification.check(outputs, targets)
        outputs = self._adjust(outputs)
        return Measured(
            classification.loss_of(outputs, targets),
            classification.count_targets(targets),
            lambda: {"accuracy": classification.right_answers(outputs, targets)},
        )

    def try_out(self, model: nn.Module, batch: Batch, name: str) -> None:
        inputs, targets = pair(batch.content)
        try:
            with torch.no_grad():
                self.measure(model, batch, torch.device("cpu"))
        except (RuntimeError, ValueError, IndexError) as error:
            shape = (
                f"{list(inputs.shape[1:])} ({inputs.dtype})" if isinstance(inputs, Tensor) else type(inputs).__name__
            )
            target = targets.tolist()[0] if targets[0].numel() == 1 else f"of shape {list(targets.shape[1:])}"
            raise ValueError(
                f"the model does not take the first {name} example, {shape} with target {target}: {error}"
            ) from error


CLASSIFICATION = _Classification()


def trained_objective(objective: Objective, dataset: "Dataset[Any]", settings: Training) -> Objective:
    """What these settings have training lower on a training set, whose targets no one else is told of.

    Raises:
        ValueError: they ask for what this objective has not.
        TypeError: examples are not those of a classifier.
    """
    if not settings.logit_calibration:
        return objective
    if objective is not CLASSIFICATION:
        raise ValueError(CALIBRATES_NOTHING)
    counts: Counter[int] = Counter()
    for batch in batches(dataset, COUNTED_AT_ONCE, None):
        counts.update(classification.class_counts(pair(batch.content)[1]))

    def calibrated(scores: Tensor) -> Tensor:
        """As FedLC has it: see `classification.margins`."""
        return classification.calibrated(
            scores, classification.margins(counts, settings.logit_calibration, scores.shape[1])
        )

    return _Classification(calibrated)


Loss: TypeAlias = tuple[Tensor, Mapping[str, float]]
"""The mean of a batch, and those of other metrics."""


class OwnLoss:
    """A loss of the task's own, which is given batches as they are, on the model's device."""

    def __init__(self, loss: Callable[[nn.Module, Any], Loss]) -> None:
        self._loss = loss

    def measure(self, model: nn.Module, batch: Batch, device: torch.device) -> Measured:
        loss, others = self._loss(model, move(batch.content, device))
        return Measured(loss, batch.size, lambda: {name: mean * batch.size for name, mean in others.items()})

    def try_out(self, model: nn.Module, batch: Batch, name: str) -> None:  # noqa: ARG002 - the task's own line tells it
        with torch.enable_grad():
            self.measure(model, batch, torch.device("cpu"))


def loss_of(returned: object, where: str) -> Loss:
    """What a task's loss() has returned, `where` names it: a tensor, or one with a dict of metrics.

    Raises:
        ValueRefusedError: it is something else, or training could not lower it; the text says what to return.
    """
    loss, others = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, {})
    if not isinstance(loss, Tensor):
        kind = "a tuple" if isinstance(loss, tuple) else type(loss).__name__
        raise ValueRefusedError(
            f"{where} returned {kind}: it has to return a tensor, the mean loss of the batch, or that and a dict of "
            "metrics"
        )
    if loss.numel() != 1:
        raise ValueRefusedError(
            f"{where} returned a tensor of shape {list(loss.shape)}: it has to be one number, the mean over the "
            "examples of the batch, as by .mean()"
        )
    if not loss.is_floating_point():
        raise ValueRefusedError(f"{where} returned a tensor of {loss.dtype}: it has to be of floating-point numbers")
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ValueRefusedError(
            f"{where} returned a tensor without a gradient: no parameter that is trained has a part in it; reckon it "
            "from what the model gives, without .item(), .detach(), numpy, argmax and no_grad()"
        )
    if not isinstance(others, Mapping):
        raise ValueRefusedError(
            f"{where} returned {type(others).__name__} beside the loss: it has to be a dict of metrics"
        )
    if "loss" in others:
        raise ValueRefusedError(f"{where} returned a metric named 'loss': that is the loss itself; rename it")
    return loss.reshape(()), metrics(others, where)


def pair(content: Any) -> tuple[Any, Tensor]:
    """Inputs and targets of a classifier's batch.

    Raises:
        TypeError: it is something else.
    """
    remedy = (
        "the default training and evaluation need pairs of input and target: give your task a loss(), or its own "
        "train() and evaluate()"
    )
    if not isinstance(content, list | tuple) or len(content) != 2:
        kind = f"{len(content)} parts" if isinstance(content, list | tuple) else type(content).__name__
        raise TypeError(f"an example of the dataset is {kind}: {remedy}")
    inputs, targets = content
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets are {type(targets).__name__}, no tensor: {remedy}")
    return inputs, targets
