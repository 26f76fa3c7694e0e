"""A training of its own whose DataLoader has worker processes."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data, Metrics, Training


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(directory: Path, client: Client) -> Data:
    """Digits."""
    return Data(TensorDataset(*_read(directory, "train")), TensorDataset(*_read(directory, "t10k")))


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """Two processes read ahead."""
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    model.train()
    for _ in range(settings.epochs or 1):
        for inputs, targets in DataLoader(data.train, settings.batch_size, shuffle=True, num_workers=2):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
    return {"loss": loss.item()}


def _read(directory: Path, name: str) -> tuple[Tensor, Tensor]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte"))
    return images.float() / 255, labels.long()
