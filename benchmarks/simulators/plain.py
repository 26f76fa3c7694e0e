"""Federated averaging in plain PyTorch, as one would write it for this model alone: also what a Flower client runs."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.simulators.cases import BATCH, DATA, HOLDOUT, LEARNING_RATE, MOMENTUM, client_folders, steps_of

Examples = tuple[Tensor, Tensor]


def build_model() -> nn.Module:
    """784-128-64-10, 109,386 weights."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def load(folder: Path) -> Examples:
    """A client's data."""
    images = torch.from_numpy(np.load(folder / "images.npy"))
    labels = torch.from_numpy(np.load(folder / "labels.npy"))
    return ((images.float() / 255 - 0.1307) / 0.3081).flatten(1), labels.long()


def train(model: nn.Module, examples: Examples, steps: int | None) -> None:
    """SGD with momentum, written out: torch.optim's takes longer for so small a model, fused or not."""
    inputs, targets = examples
    parameters = list(model.parameters())
    velocities: list[Any] = [None] * len(parameters)
    for part in torch.split(torch.randperm(len(targets)), BATCH)[:steps]:
        for parameter in parameters:
            parameter.grad = None
        loss = functional.cross_entropy(model(inputs.index_select(0, part)), targets[part])
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for index, parameter in enumerate(parameters):
                gradient: Any = parameter.grad
                velocity = velocities[index]
                velocities[index] = gradient if velocity is None else velocity.mul_(MOMENTUM).add_(gradient)
                parameter.sub_(velocities[index], alpha=LEARNING_RATE)


def accuracy(parameters: Sequence[Tensor], directory: Path) -> float:
    """Of a model on data that no client has."""
    inputs, targets = load(directory / DATA / HOLDOUT)
    model = build_model()
    with torch.no_grad():
        for own, given in zip(model.parameters(), parameters, strict=True):
            own.copy_(given)
        return float((model(inputs).argmax(1) == targets).float().mean())


class Plain:
    """One client after the other, in one thread; the mean is summed in place."""

    def __init__(self, directory: Path) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._directory = directory
        self._steps = steps_of(directory)
        self._clients = [load(folder) for folder in client_folders(directory)]
        self._model = build_model()
        self._global = [parameter.detach().clone() for parameter in self._model.parameters()]

    def rounds(self, number: int) -> list[float]:
        """The seconds of each round but the first, which is not counted."""
        return [self._round() for _ in range(number + 1)][1:]

    def accuracy(self) -> float:
        """Of the last round's model."""
        return accuracy(self._global, self._directory)

    def _round(self) -> float:
        start = time.perf_counter()
        total = [torch.zeros_like(value) for value in self._global]
        examples = sum(len(targets) for _, targets in self._clients)
        for client in self._clients:
            with torch.no_grad():
                for parameter, value in zip(self._model.parameters(), self._global, strict=True):
                    parameter.copy_(value)
            train(self._model, client, self._steps)
            with torch.no_grad():
                for value, parameter in zip(total, self._model.parameters(), strict=True):
                    value.add_(parameter, alpha=len(client[1]) / examples)
        self._global = total
        return time.perf_counter() - start
