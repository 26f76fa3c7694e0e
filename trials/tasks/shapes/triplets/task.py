"""Metric learning: embeddings by a triplet loss."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data, Metrics, Training


def build_model() -> nn.Module:
    """A picture as a point of eight dimensions."""
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 8))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    points = functional.normalize(model(inputs))
    distances = torch.cdist(points, points)
    alike = targets[:, None] == targets
    farthest = (distances * alike).amax(1)
    nearest = distances.masked_fill(alike, 4.0).amin(1)
    return torch.relu(farthest - nearest + 0.5).mean()


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
