"""Adapters and a head that parameters() chooses, beside frozen layers, and statistics that do not travel."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


class LowRank(nn.Module):
    """A linear layer, and a low-rank change to it."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.lora_a = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.lora_b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base(inputs) + inputs @ self.lora_a.T @ self.lora_b.T


def build_model() -> nn.Module:
    """Two layers, and a head."""
    body = nn.Sequential(LowRank(784, 64, 8), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), LowRank(64, 64, 8))
    return nn.Sequential(body, nn.ReLU(), nn.Linear(64, 10))


def parameters(model: nn.Module) -> list[str]:
    """What is trained and travels."""
    return ["*.lora_?", "2.*"]


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)


def loss(model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Smoothed cross-entropy."""
    images, labels = batch
    scores = model(images)
    right = (scores.argmax(1) == labels).float().mean()
    return functional.cross_entropy(scores, labels, label_smoothing=0.1), {"accuracy": right}
