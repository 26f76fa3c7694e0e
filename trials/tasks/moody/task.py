"""A task that does what it is told: to train, to fail, to hang, or not to be ready. What, is in a file."""

import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data, DeviceState, Metrics, Training, default_train

MOOD = "FEDGRASS_MOOD"
"""The variable that has the file's path."""


class MoodError(Exception):
    """What this task was told to raise."""


def build_model() -> nn.Module:
    """Ten weights, so that nothing takes long."""
    return nn.Linear(4, 2)


def load_data(directory: Path, client: Client) -> Data:  # noqa: ARG001 - there is nothing to read
    """Forty examples, of which eight are for evaluation."""
    inputs = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    targets = (inputs.sum(1) > 0).long()
    return Data(TensorDataset(inputs[:32], targets[:32]), TensorDataset(inputs[32:], targets[32:]))


def ready(device: DeviceState) -> bool:  # noqa: ARG001 - it depends on the mood alone
    """Whether it was not told to be unready."""
    return _mood() != "unready"


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """Train, or not."""
    while _mood() == "hang":
        time.sleep(0.01)
    if _mood() == "fail":
        raise MoodError("as it was told to")
    return default_train(model, data, settings)


def _mood() -> str:
    return Path(os.environ[MOOD]).read_text()
