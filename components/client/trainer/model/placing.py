"""Where a model's tensors are."""

import itertools

import torch
from torch import nn

CPU = torch.device("cpu")


def place(model: nn.Module, device: torch.device) -> None:
    """Moves a model to a device, unless it is there: to go through all of it takes longer than a small model's step."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    if any(tensor.device.type != device.type for tensor in tensors):
        model.to(device)
