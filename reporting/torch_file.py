"""A model's file as torch saves a state_dict: with this room's only import of torch, which takes seconds."""

from typing import Any, BinaryIO

import torch

from protocol.tensors import load


def write(model: bytes, file: BinaryIO) -> None:
    """Write the tensors of a safetensors file so that `torch.load(path, weights_only=True)` gives them, by name."""
    header, arrays = load(model)
    tensors: dict[str, Any] = {}
    for tensor in header.tensors:
        array = arrays[tensor.name].copy()
        is_bits = tensor.dtype == "BF16"  # numpy has no bfloat16
        tensors[tensor.name] = (
            torch.from_numpy(array.view("<i2")).view(torch.bfloat16) if is_bits else torch.from_numpy(array)
        )
    torch.save(tensors, file)
