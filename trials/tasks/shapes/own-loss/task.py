"""An autoencoder by a loss of its own, of examples that are dicts."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """784 numbers through 16."""
    return nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 784), nn.Sigmoid())


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> list[dict[str, Tensor]]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    return [{"pixels": image} for image in images.flatten(1)]


def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """How far the digit that comes out is from the one that went in."""
    return functional.mse_loss(model(batch["pixels"]), batch["pixels"])
