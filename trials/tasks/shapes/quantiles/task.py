"""Quantile regression: three numbers for one target, by the pinball loss."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fedgrass.task import Client, Data, Metrics, Training

QUANTILES = torch.tensor([0.1, 0.5, 0.9])


def build_model() -> nn.Module:
    """Three quantiles from six numbers."""
    return nn.Linear(6, 3)


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 6, generator=generator)
    noise = 0.1 * torch.randn(count, generator=generator)
    return TensorDataset(inputs, inputs @ torch.arange(6.0) + 2 + noise)


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    error = targets[:, None] - model(inputs)
    return torch.maximum(QUANTILES * error, (QUANTILES - 1) * error).mean()


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
