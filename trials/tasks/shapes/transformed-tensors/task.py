"""A TensorDataset whose subclass normalizes in __getitem__."""

from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


class Normalized(TensorDataset):
    """Raw bytes: the model can't learn from them as they are."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label = super().__getitem__(index)
        return (image.float() / 255 - 0.13) / 0.31, label


def load_data(directory: Path, client: Client) -> Data:
    """Digits."""
    return Data(Normalized(*_read(directory, "train")), Normalized(*_read(directory, "t10k")))


def _read(directory: Path, name: str) -> tuple[Tensor, Tensor]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte"))
    return images, labels.long()
