"""MobileNetV3-small, as large a model as a small device trains: pictures of 3 x 224 x 224, made from MNIST's digits.

The data is digits so that the demo's can be used; the work is that of real pictures.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor
from torchvision.models import mobilenet_v3_small

from fedgrass.task import Client, Data

SIDE = 224
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels, between 0 and 1


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Digits, each made a picture when it is asked for: all of them at once would not fit into a small device."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images = images
        self._labels = labels.long()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = (self._images[index].float() / 255 - MEAN) / DEVIATION
        picture = functional.interpolate(image[None, None], size=(SIDE, SIDE), mode="bilinear")[0]
        return picture.expand(3, SIDE, SIDE), self._labels[index]


def build_model() -> nn.Module:
    """1.5 million weights, 10 classes, not trained before."""
    model: nn.Module = mobilenet_v3_small(num_classes=10)
    return model


def load_data(directory: Path, client: Client) -> Data:  # noqa: ARG001 - each device has a directory of its own
    """This device's digits, from MNIST's own files; none is held out, for evaluation would tell nothing here."""
    images = read_sn3_pascalvincent_tensor(str(directory / "train-images-idx3-ubyte"))
    labels = read_sn3_pascalvincent_tensor(str(directory / "train-labels-idx1-ubyte"))
    return Data(Pictures(images, labels))
