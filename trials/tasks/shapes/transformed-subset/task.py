"""A Subset whose subclass has a transform, with __getitems__ as in torch's own."""

from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


class Transformed(Subset[tuple[Tensor, Tensor]]):
    """Those at some indices, normalized."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label = super().__getitem__(index)
        return (image.float() / 255 - 0.13) / 0.31, label

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        return [self[index] for index in indices]


def load_data(directory: Path, client: Client) -> Data:
    """Digits; every tenth is for the test."""
    digits = TensorDataset(*_read(directory, "train"))
    test = list(range(0, len(digits), 10))
    train = [index for index in range(len(digits)) if index % 10]
    return Data(Transformed(digits, train), Transformed(digits, test))


def _read(directory: Path, name: str) -> tuple[Tensor, Tensor]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte"))
    return images, labels.long()
