"""Targets for each token, padding ignored, by the default training and evaluation."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data

IGNORED = -100  # torch's own ignore_index


class Tagger(nn.Module):
    """Scores for each class and token: [batch, classes, tokens]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16, padding_idx=0)
        self.last = nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.embedding(tokens)).transpose(1, 2)


def build_model() -> nn.Module:
    """A tagger of words."""
    return Tagger()


def load_data(directory: Path, client: Client) -> Data:
    """Sentences of 3 to 6 words, padded to 12."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    tokens = torch.randint(1, 20, (count, 12), generator=generator)
    lengths = torch.randint(3, 7, (count, 1), generator=generator)
    padding = torch.arange(12) >= lengths
    return TensorDataset(tokens.masked_fill(padding, 0), (tokens % 4).masked_fill(padding, IGNORED))
