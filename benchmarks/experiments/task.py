"""Handwritten digits and a perceptron, 784-128-64-10: the task of the experiments. It also measures the class that is
known worst, so that an accuracy can't hide a digit that no one has learned."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data, default_evaluate

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels, between 0 and 1
HEADERS = {"images-idx3": 16, "labels-idx1": 8}  # bytes


def build_model() -> nn.Module:
    """109,386 weights."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def load_data(directory: Path, client: Client) -> Data:  # noqa: ARG001 - each client has a directory of its own
    """A client's digits, as `fedgrass split` leaves MNIST's files."""
    return Data(digits(directory, "train"), digits(directory, "t10k"))


def digits(directory: Path, part: str) -> TensorDataset:
    """Pictures, 1 x 28 x 28 and normalized, and their labels."""
    images, labels = (content(directory / f"{part}-{kind}-ubyte", header) for kind, header in HEADERS.items())
    return TensorDataset((images.view(-1, 1, 28, 28).float() / 255 - MEAN) / DEVIATION, labels.long())


def content(path: Path, header: int) -> Tensor:
    """The bytes of a file after its header."""
    return torch.frombuffer(bytearray(path.read_bytes()[header:]), dtype=torch.uint8)


def evaluate(model: nn.Module, data: Data) -> dict[str, float]:
    """Loss and accuracy, and the accuracy within the class where it is least."""
    images, labels = data.test.tensors  # type: ignore[union-attr]
    with torch.no_grad():
        right = model(images).argmax(1) == labels
    by_class = [float(right[labels == label].float().mean()) for label in labels.unique()]
    return default_evaluate(model, data) | {"worst_class_accuracy": min(by_class)}
