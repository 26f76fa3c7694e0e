"""Parameters of four dtypes, with updates in int8 and models in bfloat16."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


class Mixed(nn.Module):
    """Each part as exact as it needs to be."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 16).bfloat16()
        self.second = nn.Linear(16, 16)
        self.third = nn.Linear(16, 16).half()
        self.last = nn.Linear(16, 2).double()

    def forward(self, inputs: Tensor) -> Tensor:
        values = torch.relu(self.first(inputs.bfloat16()))
        values = torch.relu(self.second(values.float()))
        return self.last(torch.relu(self.third(values.half())).double())


def build_model() -> nn.Module:
    """Four layers."""
    return Mixed()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())
