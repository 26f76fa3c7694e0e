"""Integer and boolean buffers: positions, a mask, flags, and a counter of batches."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


class Counted(nn.Module):
    """A bag of positions, some of them hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(4, 8)
        self.last = nn.Linear(8, 2)
        self.register_buffer("positions", torch.arange(4))
        self.register_buffer("shown", torch.tensor([True, True, True, False]))
        self.register_buffer("version", torch.tensor([1, 2], dtype=torch.uint8))
        self.register_buffer("seen", torch.zeros(4, dtype=torch.bool))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.batches += 1
            self.seen |= (inputs > 0).any(0)
        return self.last(((inputs * self.shown)[:, :, None] * self.places(self.positions)).sum(1))


def build_model() -> nn.Module:
    """A small one."""
    return Counted()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())
