"""A folder of picture files as a camera's card has it, with what can't be read."""

import logging
import os
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.transforms.functional import pil_to_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(directory: Path, client: Client) -> Data:
    """Digits: the name of a picture's folder is what it shows; every fifth is for the test."""
    images: list[Tensor] = []
    labels: list[int] = []
    for folder, _, files in sorted(os.walk(directory)):
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix != ".png" or not path.is_file():
                continue
            try:
                images.append(pil_to_tensor(Image.open(path)).float() / 255)
            except (OSError, UnidentifiedImageError) as error:
                logging.getLogger("task").warning("left out %r: %s", path, error)
                continue
            labels.append(int(path.parent.name))
    test = torch.arange(len(images)) % 5 == 0
    inputs, targets = torch.stack(images), torch.tensor(labels)
    return Data(TensorDataset(inputs[~test], targets[~test]), TensorDataset(inputs[test], targets[test]))
