"""An autoencoder, with a training and an evaluation of its own."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data, Metrics, Training


def build_model() -> nn.Module:
    """784 numbers through 16."""
    return nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 784), nn.Sigmoid())


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    return TensorDataset(images.flatten(1))


def _loss(model: nn.Module, inputs: Tensor) -> Tensor:
    return functional.mse_loss(model(inputs), inputs)


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
