"""Handwritten digits: the example of a task. Copy this file and make it yours.

Only `build_model` and `load_data` are needed. What else a task may have (train, evaluate, describe, ready) is in
docs/tasks.md; without them a model is trained by SGD and evaluated by its loss and accuracy.
"""

import gzip
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels, between 0 and 1
HOLD_OUT = 10  # without test files, each tenth example is kept for evaluation


def build_model() -> nn.Module:
    """The global model; every device and the cloud build the same."""
    return multilayer_perceptron()


def multilayer_perceptron() -> nn.Module:
    """784-128-64-10, 109,386 weights: 97 % after a few rounds."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional_network() -> nn.Module:
    """Two convolutions and a linear layer, 28,938 weights: smaller to send, better, and slower to train."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(7 * 7 * 32, 10),
    )  # fmt: skip


def load_data(directory: Path, client: Client) -> Data:  # noqa: ARG001 - each device has a directory of its own
    """This device's digits, from MNIST's own files (IDX, maybe gzipped). All of them become one tensor, once: to read
    them item by item would take longer than to train on them."""
    train = read_digits(directory, "train")
    if not find(directory, "t10k-images-idx3-ubyte"):
        everything = torch.arange(len(train))
        held_out = everything % HOLD_OUT == HOLD_OUT - 1
        return Data(TensorDataset(*train[~held_out]), TensorDataset(*train[held_out]))
    return Data(train, read_digits(directory, "t10k"))


def read_digits(directory: Path, part: str) -> TensorDataset:
    """Images, 1 x 28 x 28 and normalized, and their digits; `part` is train or t10k."""
    images = read_idx(directory, f"{part}-images-idx3-ubyte").view(-1, 1, 28, 28)
    labels = read_idx(directory, f"{part}-labels-idx1-ubyte")
    return TensorDataset((images.float() / 255 - MEAN) / DEVIATION, labels.long())


def read_idx(directory: Path, name: str) -> Tensor:
    """The bytes of one of MNIST's files, in its shape: its header is a magic number, whose last byte is the number of
    dimensions, and the dimensions, all in four bytes."""
    # torchvision.datasets.mnist reads such files too, if they are not gzipped; but to import it costs each device
    # 160 MB and over a second, for these few lines.
    path = find(directory, name)
    if path is None:
        raise FileNotFoundError(f"{directory} holds neither {name} nor {name}.gz")
    raw = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    dimensions = raw[3]
    shape = [int.from_bytes(raw[4 * (i + 1) : 4 * (i + 2)], "big") for i in range(dimensions)]
    return torch.frombuffer(raw, dtype=torch.uint8, offset=4 * (dimensions + 1)).view(shape)


def find(directory: Path, name: str) -> Path | None:
    """The file of this name, as it is or gzipped."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.exists()), None)
