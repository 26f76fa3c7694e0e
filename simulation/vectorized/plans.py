"""What clients train on in each step of the default training, and that as batches of many clients."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from components.client.trainer.learning.batches import underlying
from components.client.trainer.learning.classification import IGNORED, class_counts, margins
from fedgrass.task import Training
from protocol.local_steps import limits


class Examples(NamedTuple):
    """Inputs and targets in tensors, of which a client has those at `indices`."""

    inputs: Tensor
    targets: Tensor
    indices: Tensor

    @property
    def kind(self) -> tuple[object, ...]:
        """What examples have to have in common to be in one batch."""
        return self.inputs.shape[1:], self.inputs.dtype, self.targets.shape[1:], self.targets.dtype


def examples_of(dataset: "Dataset[Any]") -> Examples | None:
    """The examples of a dataset, if it keeps them in two tensors."""
    whole, indices = underlying(dataset, torch.arange(len(dataset)))  # type: ignore[arg-type]
    if type(whole) is not TensorDataset or len(whole.tensors) != 2:
        return None
    inputs, targets = whole.tensors
    return Examples(inputs, targets if targets.is_floating_point() else targets.long(), indices)


class Plan(NamedTuple):
    """Which examples a client trains on in each step, and in which step its last epoch begins."""

    examples: Examples
    steps: Sequence[Tensor]
    last_epoch: int


def plan(examples: Examples, settings: Training) -> Plan:
    """As `default_training.train` goes through them."""
    epochs, most = limits(settings)
    generator = torch.Generator().manual_seed(settings.seed)
    steps: list[Tensor] = []
    epoch = last_epoch = 0
    while epoch != epochs and not 0 < most <= len(steps):
        epoch += 1
        last_epoch = len(steps)
        steps += _epoch(examples.indices, settings.batch_size, generator)
    return Plan(examples, steps[:most] if most else steps, last_epoch)


def _epoch(indices: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(len(indices), generator=generator)
    for number, part in enumerate(torch.split(indices[order], size)):
        if number and len(part) == 1 < size:
            continue
        yield part


def _margins(examples: Examples, calibration: float, classes: int) -> Tensor:
    return margins(class_counts(examples.targets[examples.indices]), calibration, classes)


class Batches:
    """Batches of many clients, one of each. Where a client has fewer examples than others in a step, or none any more,
    there are others in their place, which don't count. `margins`, [clients, classes], are those of a logit
    `calibration`; without one there are none, [clients, 0]."""

    def __init__(self, plans: Sequence[Plan], size: int, classes: int, calibration: float) -> None:
        inputs, targets, _ = plans[0].examples
        self._plans = plans
        self._numbers = not targets.is_floating_point()
        self._inputs = inputs.new_zeros(len(plans), size, *inputs.shape[1:])
        self._targets = targets.new_full((len(plans), size, *targets.shape[1:]), IGNORED if self._numbers else 0)
        self._slots = list(zip(self._inputs.unbind(), self._targets.unbind(), strict=True))
        self._shares = torch.zeros(len(plans), size, classes, *targets.shape[1:]) if self._numbers else self._targets
        self.margins = torch.zeros(len(plans), 0)
        if calibration:
            self.margins = torch.stack([_margins(one.examples, calibration, classes) for one in plans])

    def at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, [clients, examples, ...]; for each class the share of the targets that it is, [clients, examples,
        classes, ...], all of which make 1 for each client, or 0 if it has none; and how many targets count."""
        for (inputs, targets), one in zip(self._slots, self._plans, strict=True):
            chosen = one.steps[step] if step < len(one.steps) else one.steps[0][:0]
            number = len(chosen)
            if number < len(inputs):
                targets[number:] = IGNORED if self._numbers else 0
                inputs, targets = inputs[:number], targets[:number]
            torch.index_select(one.examples.inputs, 0, chosen, out=inputs)
            torch.index_select(one.examples.targets, 0, chosen, out=targets)
        shares, counts = self._shares_of_numbers() if self._numbers else self._shares_of_probabilities(step)
        return self._inputs, shares, counts

    def _shares_of_numbers(self) -> tuple[Tensor, Tensor]:
        counting = self._targets != IGNORED
        counts = counting.flatten(1).sum(1)
        weights = counting / counts.clamp(min=1).view(-1, *[1] * (counting.ndim - 1))
        classes = torch.where(counting, self._targets, 0)
        return self._shares.zero_().scatter_(2, classes.unsqueeze(2), weights.unsqueeze(2)), counts

    def _shares_of_probabilities(self, step: int) -> tuple[Tensor, Tensor]:
        each = self._targets[0, 0, 0].numel()
        sizes = [len(one.steps[step]) * each if step < len(one.steps) else 0 for one in self._plans]
        counts = torch.tensor(sizes)
        return self._targets / counts.clamp(min=1).view(-1, *[1] * (self._targets.ndim - 1)), counts
