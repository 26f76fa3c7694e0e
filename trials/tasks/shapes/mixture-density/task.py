"""A mixture of two Gaussians with logarithms of variances; its loss may be below zero."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fedgrass.task import Client, Data, Metrics, Training


def build_model() -> nn.Module:
    """Weight, mean and log-variance of two Gaussians."""
    return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 6))


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.rand(count, 1, generator=generator)
    side = 2.0 * torch.randint(2, (count, 1), generator=generator) - 1
    return TensorDataset(inputs, side * inputs + 0.02 * torch.randn(count, 1, generator=generator))


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    logits, means, log_variances = model(inputs).chunk(3, 1)
    densities = -0.5 * (log_variances + (targets - means) ** 2 / log_variances.exp())
    return -torch.logsumexp(torch.log_softmax(logits, 1) + densities, 1).mean()


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """As in any script."""
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
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
