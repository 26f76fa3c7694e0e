"""An LSTM that reads a picture row by row."""

from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from fedgrass.task import Client, Data


class Reader(nn.Module):
    """28 rows of 28 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 24, batch_first=True)
        self.last = nn.Linear(24, 10)

    def forward(self, rows: Tensor) -> Tensor:
        return self.last(self.lstm(rows)[0][:, -1])


def build_model() -> nn.Module:
    """One layer."""
    return Reader()


def load_data(directory: Path, client: Client) -> Data:
    """Digits as rows."""
    return Data(_part(directory, "train"), _part(directory, "t10k"))


def _part(directory: Path, name: str) -> TensorDataset:
    images = read_sn3_pascalvincent_tensor(str(directory / f"{name}-images-idx3-ubyte")).float() / 255
    labels = read_sn3_pascalvincent_tensor(str(directory / f"{name}-labels-idx1-ubyte")).long()
    return TensorDataset(images, labels)
