"""Batch normalization, and a slow device whose updates come rounds late."""

import time
import zlib
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data, Metrics, Training, default_train

PAUSE_S = {"train": 0.3}


def build_model() -> nn.Module:
    """Normalized first."""
    return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own; every second device is slow."""
    PAUSE_S["train"] = 2.0 if client.thing.endswith("1") else 0.3
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    kinds = torch.randint(2, (count,), generator=generator)
    shift = torch.stack([0.5 * kinds, 1.0 * kinds, 0.1 * kinds, 0.0 * kinds], 1)
    noise = torch.randn(count, 4, generator=generator) * torch.tensor([0.3, 0.1, 0.1, 0.1])
    return TensorDataset(noise + shift, kinds)


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """The default one, as fast as this device is."""
    time.sleep(PAUSE_S["train"])
    return default_train(model, data, settings)
