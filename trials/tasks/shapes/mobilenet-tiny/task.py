"""MobileNetV3-small of torchvision, on tiny pictures."""

import functools
from pathlib import Path

from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor
from torchvision.models import mobilenet_v3_small

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """1.5 million weights; statistics follow fast, for there are few steps."""
    return mobilenet_v3_small(num_classes=10, norm_layer=functools.partial(nn.BatchNorm2d, momentum=0.3))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as pictures of 3 x 32 x 32."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(functional.pad(images[:, None], (2, 2, 2, 2)).repeat(1, 3, 1, 1), labels)
