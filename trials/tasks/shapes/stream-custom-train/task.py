"""An IterableDataset with a length, by a training and an evaluation of its own."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from fedgrass.task import Client, Data, Metrics, Training


class Stream(IterableDataset[tuple[Tensor, int]]):
    """The readings of a sensor, one after the other; there is no going back."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.count = seed, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.count):
            inputs = torch.randn(4, generator=generator)
            yield inputs, int(inputs.sum() > 0)


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


def load_data(directory: Path, client: Client) -> Data:
    """A stream of this device's own."""
    seed = zlib.crc32(client.thing.encode())
    return Data(Stream(seed, 192), Stream(seed + 1, 96))


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """In the order in which the readings come."""
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    model.train()
    for _ in range(settings.epochs or 1):
        for inputs, targets in DataLoader(data.train, settings.batch_size):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
    return {"loss": loss.item()}


def evaluate(model: nn.Module, data: Data) -> Metrics:
    """Torch's own numbers."""
    model.eval()
    inputs, targets = next(iter(DataLoader(data.test, len(data.test))))
    with torch.no_grad():
        scores = model(inputs)
    return {"loss": functional.cross_entropy(scores, targets), "accuracy": (scores.argmax(1) == targets).float().mean()}
