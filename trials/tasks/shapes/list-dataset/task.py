"""A plain list of pairs."""

from pathlib import Path

from torch import Tensor, nn
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(directory: Path, client: Client) -> Data:
    """Digits."""
    return Data(_pairs(directory, "train"), _pairs(directory, "t10k"))


def _pairs(directory: Path, name: str) -> list[tuple[Tensor, int]]:
    images, labels = _read(directory, name)
    return list(zip(images.float() / 255, labels.tolist(), strict=True))


def _read(directory: Path, name: str) -> tuple[Tensor, Tensor]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte"))
    return images, labels.long()
