"""Dropout, and a training of its own that does not call model.train()."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fedgrass.task import Client, Data, Metrics, Training

SEEN: list[bool] = []


class Watched(nn.Dropout):
    """Remembers in which mode it was trained."""

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            SEEN.append(self.training)
        return super().forward(inputs)


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), Watched(0.5), nn.Linear(32, 2))


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """As in a script where the model was just made, and so is in training mode."""
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    SEEN.clear()
    for _ in range(settings.epochs or 1):
        for inputs, targets in DataLoader(data.train, settings.batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
    if not all(SEEN):
        raise RuntimeError("nothing was dropped out: the model came in evaluation mode")
    return {"loss": loss.item()}
