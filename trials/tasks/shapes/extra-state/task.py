"""A module that keeps a tensor of its own by get_extra_state."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


class Centred(nn.Module):
    """Takes the mean off, as far as it has seen the data."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(784)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * inputs.detach().mean(0)
        return inputs - self.mean

    def get_extra_state(self) -> Tensor:
        return self.mean

    def set_extra_state(self, state: Tensor) -> None:
        self.mean = state.clone()


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(Centred(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)
