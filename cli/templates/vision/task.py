"""Handwritten digits: which of ten is it?"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data

MEAN, DEVIATION = 0.1307, 0.3081  # of all pixels, between 0 and 1: the same on each device


def build_model() -> nn.Module:
    """28,938 weights. The cloud and every device build the same."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(7 * 7 * 32, 10),
    )  # fmt: skip


def load_data(directory: Path, client: Client) -> Data:
    """The digits in this client's folder. Each fifth is for testing the model before and after training."""
    with np.load(directory / "data.npz") as arrays:
        images = torch.from_numpy(arrays["images"]).unsqueeze(1)
        labels = torch.from_numpy(arrays["labels"]).long()
    inputs = (images.float() / 255 - MEAN) / DEVIATION
    test = torch.arange(len(labels)) % 5 == 4
    return Data(TensorDataset(inputs[~test], labels[~test]), TensorDataset(inputs[test], labels[test]))
