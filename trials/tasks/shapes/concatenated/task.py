"""Two recordings put together, and split at random."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, TensorDataset, random_split
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(directory: Path, client: Client) -> Data:
    """Digits."""
    together = ConcatDataset([TensorDataset(*_read(directory, name)) for name in ("train", "t10k")])
    train, test = random_split(together, [0.75, 0.25], torch.Generator().manual_seed(0))
    return Data(train, test)


def _read(directory: Path, name: str) -> tuple[Tensor, Tensor]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte"))
    return images.float() / 255, labels.long()
