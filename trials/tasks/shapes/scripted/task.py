"""A model that is compiled by torch.jit.script."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


class Scaled(nn.Module):
    """A layer that jit has to read the source of."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(32))

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[0] > 0:
            return inputs * self.scale
        return inputs


def build_model() -> nn.Module:
    """A perceptron."""
    return torch.jit.script(nn.Sequential(nn.Linear(784, 32), nn.ReLU(), Scaled(), nn.Linear(32, 10)))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)
