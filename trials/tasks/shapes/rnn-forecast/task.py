"""A plain RNN that forecasts the next number of a series."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fedgrass.task import Client, Data, Metrics, Training


class Forecast(nn.Module):
    """The next number from twenty."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, 16, batch_first=True)
        self.last = nn.Linear(16, 1)

    def forward(self, series: Tensor) -> Tensor:
        return self.last(self.rnn(series)[0][:, -1])


def build_model() -> nn.Module:
    """One layer."""
    return Forecast()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    phase = 6.28 * torch.rand(count, 1, generator=generator)
    series = torch.sin(phase + 0.3 * torch.arange(21))[:, :, None]
    return TensorDataset(series[:, :-1], series[:, -1])


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(model(inputs), targets)


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
