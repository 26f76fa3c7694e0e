"""Sparse gradients: an EmbeddingBag of many words, of which few are in a text."""

import zlib
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """The mean of its words says what a text is about."""
    return nn.Sequential(nn.EmbeddingBag(5000, 8, sparse=True), nn.Linear(8, 3))


def load_data(directory: Path, client: Client) -> Data:
    """Texts of 12 words on three topics."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    topics = torch.randint(3, (count,), generator=generator)
    words = topics[:, None] * 40 + torch.randint(60, (count, 12), generator=generator)
    return TensorDataset(words, topics)
