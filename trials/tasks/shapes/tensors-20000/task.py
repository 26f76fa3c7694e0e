"""20,000 tensors of a few numbers each."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


class Many(nn.Module):
    """Ten thousand small layers side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(4) / 100 for _ in range(10_000))
        self.biases = nn.ParameterList(torch.zeros(2) for _ in range(10_000))

    def forward(self, inputs: Tensor) -> Tensor:
        scores = inputs @ torch.stack(list(self.weights)).T
        biases = torch.stack(list(self.biases))
        return torch.stack([scores.mean(1), -scores.mean(1)], 1) * 10 + biases.mean(0)


def build_model() -> nn.Module:
    """Many."""
    return Many()


def load_data(directory: Path, client: Client) -> Data:
    """Examples of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())
