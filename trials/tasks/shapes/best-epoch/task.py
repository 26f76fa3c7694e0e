"""A training that keeps the best epoch by a deep copy, and puts it back by assignment."""

import copy
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data, Metrics, Training


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """What was best on the training set, though it was not the last."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    best, least = copy.deepcopy(model.state_dict()), float("inf")
    for _ in range(settings.epochs or 1):
        model.train()
        for inputs, targets in DataLoader(data.train, settings.batch_size, shuffle=True):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        inputs, targets = data.train.tensors
        with torch.no_grad():
            loss = functional.cross_entropy(model(inputs), targets).item()
        if loss < least:
            best, least = copy.deepcopy(model.state_dict()), loss
    model.load_state_dict(best, assign=True)
    return {"loss": least}
