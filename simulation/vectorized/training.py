"""The default training, of many clients at once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from components.client.trainer.learning.classification import calibrated
from fedgrass.task import Metrics, Training
from simulation.vectorized.plans import Batches, Plan
from simulation.vectorized.program import Program, Stack, Start, Tensors


class Trained(NamedTuple):
    """The numbers of a client's model after its training, and what `default_training.train` returns."""

    values: Tensors
    metrics: Metrics


def cross_entropy(outputs: Tensor, shares: Tensor, margins: Tensor) -> Tensor:
    """Of the classes' scores, [examples, classes, ...], and `shares` of that shape: see `Batches`. `margins` are taken
    from the scores, unless there are none."""
    scores = calibrated(outputs, margins) if margins.numel() else outputs
    return -(scores.log_softmax(1) * shares).sum()


def decay_of(settings: Training) -> float:
    """By how much what a program has gathered is scaled before it adds gradients: with nothing else to be added in
    between, momentum is all that has to be done."""
    has_others = settings.proximal or settings.weight_decay or settings.clip_norm is not None
    return 0.0 if has_others else settings.momentum


def train(
    program: Program, start: Start, plans: Sequence[Plan], settings: Training, size: int, classes: int
) -> list[Trained | None]:
    """Trains a client for each plan, of examples of one kind, in batches of that size. None is what cannot be told
    here: the loss was not a finite number, or no target counted.

    Raises:
        RuntimeError, IndexError: an example or a target is not where it is looked for.
    """
    stack = start.stack(len(plans))
    sgd = _StackedSgd(stack, start, settings)
    batches = Batches(plans, size, classes, settings.logit_calibration)
    values: list[Tensors] = [{} for _ in plans]
    losses, counts = [], []
    longest = max(len(one.steps) for one in plans)
    with torch.no_grad():
        for step in range(longest):
            inputs, shares, counted = batches.at(step)
            losses.append(program(*stack.tensors, inputs, shares, batches.margins, *sgd.gathered))
            counts.append(counted)
            sgd.step()
            for client, one in enumerate(plans):
                if len(one.steps) == step + 1:
                    last = stack.of(client)
                    values[client] = last if step + 1 == longest else {name: last[name].clone() for name in last}
        by_client = zip(values, plans, torch.stack(losses, 1), torch.stack(counts, 1), strict=True)
        return [_trained(*one) for one in by_client]


def _trained(values: Tensors, one: Plan, losses: Tensor, counts: Tensor) -> Trained | None:
    steps = len(one.steps)
    losses, counts = losses[:steps], counts[:steps]
    if not (losses.isfinite().all() and counts.all()):
        return None
    in_last_epoch = slice(one.last_epoch, steps)
    weights = counts[in_last_epoch]
    mean = float((losses[in_last_epoch] * weights).sum() / weights.sum())
    return Trained(values, {"loss": mean, "steps": float(steps)})


class _StackedSgd:
    """`Sgd`, on stacks. `gathered` is what programs gather in."""

    def __init__(self, stack: Stack, start: Start, settings: Training) -> None:
        self._settings = settings
        self._parameters = list(stack.parameters.values())
        self._anchors = list(start.parameters.values())
        self.gathered = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._velocities = self.gathered
        if decay_of(settings) != settings.momentum:
            self._velocities = [torch.zeros_like(parameter) for parameter in self._parameters]

    def step(self) -> None:
        settings = self._settings
        if settings.proximal:
            for parameter, anchor, gradient in zip(self._parameters, self._anchors, self.gathered, strict=True):
                gradient.add_(parameter - anchor, alpha=settings.proximal)
        if settings.clip_norm is not None:
            _clip(self.gathered, settings.clip_norm)
        for parameter, gradient, velocity in zip(self._parameters, self.gathered, self._velocities, strict=True):
            if settings.weight_decay:
                gradient.add_(parameter, alpha=settings.weight_decay)
            if velocity is not gradient:
                velocity.mul_(settings.momentum).add_(gradient)
            parameter.sub_(velocity, alpha=settings.learning_rate)


def _clip(gradients: Sequence[Tensor], most: float) -> None:
    """As torch.nn.utils.clip_grad_norm_ does for each client."""
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factors = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
