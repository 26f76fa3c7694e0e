"""Batches of three tensors: two inputs and a target."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fedgrass.task import Client, Data, Metrics, Training


class Twins(nn.Module):
    """The same layers for both."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4, bias=False))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.scale * (1 - (self.layers(left) - self.layers(right)).norm(dim=1))


def build_model() -> nn.Module:
    """Tells whether two are of a kind."""
    return Twins()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    left, right = torch.randn(count, 6, generator=generator), torch.randn(count, 6, generator=generator)
    return TensorDataset(left, right, ((left[:, 0] > 0) == (right[:, 0] > 0)).float())


def _loss(model: nn.Module, left: Tensor, right: Tensor, alike: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(model(left, right), alike)


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """As in any script."""
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    model.train()
    for _ in range(settings.epochs or 1):
        for batch in DataLoader(data.train, settings.batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = _loss(model, *batch)
            loss.backward()
            optimizer.step()
    return {"loss": loss.item()}


def evaluate(model: nn.Module, data: Data) -> Metrics:
    """The same loss, on the test set."""
    model.eval()
    with torch.no_grad():
        return {"loss": _loss(model, *next(iter(DataLoader(data.test, len(data.test))))).item()}
