"""A Dataset of its own that decodes each example when it is asked for."""

from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


def build_model() -> nn.Module:
    """A perceptron."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


class Pictures(Dataset[tuple[Tensor, int]]):
    """Bytes until they are asked for; labels are plain integers."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index].float() / 255, self.labels[index]


def load_data(directory: Path, client: Client) -> Data:
    """Digits."""
    return Data(Pictures(*_read(directory, "train")), Pictures(*_read(directory, "t10k")))


def _read(directory: Path, name: str) -> tuple[Tensor, Tensor]:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte"))
    return images, labels.long()
