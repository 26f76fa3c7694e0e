"""A module of its own, and a training of its own that draws from all random number generators."""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data, Metrics, Training


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(20, 64)
        self.outer = nn.Linear(64, 3)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.outer(torch.tanh(self.inner(inputs)))
        return hidden


def build_model() -> nn.Module:
    return Network()


def load_data(directory: Path, client: Client) -> Data:
    inputs = torch.from_numpy(np.load(directory / "inputs.npy"))
    labels = torch.from_numpy(np.load(directory / "labels.npy"))
    chosen = torch.randperm(len(inputs))
    return Data(
        TensorDataset(inputs[chosen[5:]], labels[chosen[5:]]), TensorDataset(inputs[chosen[:5]], labels[chosen[:5]])
    )


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    assert isinstance(data.train, TensorDataset)
    inputs, labels = data.train.tensors
    if int(labels.max()) > 2:
        raise ValueError("a label that there is not")
    loss = torch.zeros(())
    for _ in range(settings.steps or 1):
        batch = torch.from_numpy(np.random.choice(len(inputs), settings.batch_size))
        noise = random.gauss(0.0, 0.01) * torch.randn(settings.batch_size, 20)
        model.zero_grad()
        loss = functional.cross_entropy(model(inputs[batch] + noise), labels[batch])
        torch.autograd.backward(loss)
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(settings.learning_rate * parameter.grad)
            model.get_buffer("seen").add_(settings.batch_size)
    return {"loss": loss.item()}


def describe(model: nn.Module, data: Data) -> Metrics:
    return {"largest": max(float(parameter.abs().max()) for parameter in model.parameters())}
