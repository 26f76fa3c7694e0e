"""Motions: which of seven exercises does the wearer of a watch do?"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data

EXERCISES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
SCALE = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]).view(6, 1)  # accelerations in g, turns in radians a second


def build_model() -> nn.Module:
    """Convolutions along the time, whatever the length."""
    return nn.Sequential(
        nn.Conv1d(6, 32, 7, padding=3), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(32, 64, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(4),
        nn.Flatten(), nn.Linear(4 * 64, len(EXERCISES)),
    )  # fmt: skip


def load_data(directory: Path, client: Client) -> Data:
    """Pieces of two seconds [6, 100] of one person. Each fifth is for testing the model before and after training."""
    with np.load(directory / "data.npz") as arrays:
        pieces = torch.from_numpy(arrays["pieces"]) / SCALE
        labels = torch.from_numpy(arrays["labels"])
    test = torch.arange(len(labels)) % 5 == 4
    return Data(TensorDataset(pieces[~test], labels[~test]), TensorDataset(pieces[test], labels[test]))
