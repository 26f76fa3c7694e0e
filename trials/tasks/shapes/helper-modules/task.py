"""A task of several files: a module and a package, each with a file beside it that is no code."""

import zlib
from pathlib import Path

import torch
from texts.counting import counts
from torch import nn
from torch.utils.data import TensorDataset
from vocabulary import LABELS, WORDS

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A score for each label from the counts of words."""
    return nn.Linear(len(WORDS), len(LABELS))


def load_data(directory: Path, client: Client) -> Data:
    """Texts of this device's own."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    labels = torch.randint(len(LABELS), (count,), generator=generator)
    noise = torch.randint(len(WORDS), (count, 5), generator=generator)
    texts = [
        " ".join([*LABELS[label]["words"], *(WORDS[word] for word in others)])
        for label, others in zip(labels.tolist(), noise.tolist(), strict=True)
    ]
    return TensorDataset(torch.stack([counts(text, WORDS) for text in texts]), labels)
