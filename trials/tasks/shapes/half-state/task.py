"""A wrapper that trains in float32 and whose state is float16, to halve what travels."""

from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


class Halved(nn.Module):
    """Its state is rounded; it works with what was rounded."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs)

    def state_dict(self, *args, **kwargs):
        return {name: value.half() for name, value in super().state_dict(*args, **kwargs).items()}


def build_model() -> nn.Module:
    """A perceptron."""
    return Halved(nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)))


def load_data(directory: Path, client: Client) -> Data:
    """Digits as 784 numbers."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images.flatten(1), labels)
