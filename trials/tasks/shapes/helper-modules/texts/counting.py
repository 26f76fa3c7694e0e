"""Bags of words."""

import torch
from torch import Tensor


def counts(text: str, words: list[str]) -> Tensor:
    """How often each word is in the text."""
    found = text.split()
    return torch.tensor([float(found.count(word)) for word in words])
