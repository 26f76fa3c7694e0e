"""A parameter that is not a number from the start."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


class Blank(nn.Module):
    """Was meant to be filled."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.full((4,), float("nan")))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(inputs * self.scale)


def build_model() -> nn.Module:
    """With a hole in it."""
    return Blank()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())
