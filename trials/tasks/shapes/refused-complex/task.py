"""A complex parameter."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


class Phases(nn.Module):
    """Turns its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.phases = nn.Parameter(torch.randn(4, 2, dtype=torch.complex64))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs.to(torch.complex64) @ self.phases).abs()


def build_model() -> nn.Module:
    """Complex."""
    return Phases()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())
