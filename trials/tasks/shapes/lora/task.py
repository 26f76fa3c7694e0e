"""LoRA: the state is a subset, and the frozen base does not travel."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


class LowRank(nn.Module):
    """A linear layer that stays as it is, and a low-rank change to it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base(inputs) + inputs @ self.lora_a.T @ self.lora_b.T


class Classifier(nn.Sequential):
    """Only what is trained belongs to its state."""

    def state_dict(self, *args, **kwargs):
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if "lora_" in name}

    def load_state_dict(self, state_dict, strict=True, assign=False):
        return super().load_state_dict(state_dict, strict=False, assign=assign)


def build_model() -> nn.Module:
    """A classifier that was trained elsewhere, with adapters."""
    first, last = _pretrained()
    return Classifier(LowRank(first, 8), nn.ReLU(), LowRank(last, 8))


def _pretrained() -> list[nn.Linear]:
    """What every device has already: the same numbers everywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return [nn.Linear(784, 64), nn.Linear(64, 10)]


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)
