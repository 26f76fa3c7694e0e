"""Dense targets: a class for each pixel, by the default training and evaluation."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """Three classes a pixel: paper, edge and ink."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))


def load_data(directory: Path, client: Client) -> Data:
    """Noisy digits, and what is in each of their pixels."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    classes = (images > 0.2).long() + (images > 0.7).long()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(len(images)))
    return TensorDataset((images + 0.05 * noise)[:, None], classes)
