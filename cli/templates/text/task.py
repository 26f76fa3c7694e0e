"""Sentences: which service of AWS is one about? A classifier over the words in it."""

import csv
import re
import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data

LABELS = ("dynamodb", "iam", "iot", "kms", "lambda", "logs")
WORDS, LENGTH = 4096, 40  # so many different words are told apart; so many of a sentence are read


def build_model() -> nn.Module:
    """The mean of what each word stands for, and a linear layer."""
    return nn.Sequential(nn.EmbeddingBag(WORDS, 32, padding_idx=0), nn.ReLU(), nn.Linear(32, len(LABELS)))


def load_data(directory: Path, client: Client) -> Data:
    """The sentences of this client. Each fifth is for testing the model before and after training."""
    with (directory / "data.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = torch.stack([numbered(row["text"]) for row in rows])
    labels = torch.tensor([LABELS.index(row["label"]) for row in rows])
    test = torch.arange(len(rows)) % 5 == 4
    return Data(TensorDataset(words[~test], labels[~test]), TensorDataset(words[test], labels[test]))


def numbered(text: str) -> Tensor:
    """A number for each word, by a hash that is the same on each device; 0 where the text has ended."""
    numbers = [1 + zlib.crc32(word.encode()) % (WORDS - 1) for word in re.findall(r"[a-z]+", text.lower())[:LENGTH]]
    return torch.tensor(numbers + [0] * (LENGTH - len(numbers)))
