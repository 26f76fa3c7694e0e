"""K-means: the parameters are centres that move without gradients; what lies far off is odd."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data, Metrics, Training


class Centres(nn.Module):
    """The distance to the nearest centre."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(4, 2), requires_grad=False)
        self.register_buffer("counts", torch.zeros(4, dtype=torch.int64))

    def forward(self, points: Tensor) -> Tensor:
        return torch.cdist(points, self.centres)


def build_model() -> nn.Module:
    """Four centres."""
    return Centres()


def load_data(directory: Path, client: Client) -> Data:
    """Points around four corners."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    corners = torch.tensor([[5.0, 5.0], [5.0, -5.0], [-5.0, 5.0], [-5.0, -5.0]])
    chosen = torch.randint(4, (count,), generator=generator)
    return TensorDataset(corners[chosen] + torch.randn(count, 2, generator=generator))


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    """Each centre goes to the mean of its points."""
    (points,) = data.train.tensors
    for _ in range(settings.epochs or 1):
        nearest = model(points).argmin(1)
        for index in range(4):
            mine = points[nearest == index]
            model.counts[index] += len(mine)
            if len(mine):
                model.centres[index] = mine.mean(0)
    return {"steps": settings.epochs or 1}


def evaluate(model: nn.Module, data: Data) -> Metrics:
    """The mean distance to the nearest centre."""
    (points,) = data.test.tensors
    return {"loss": model(points).amin(1).mean().item()}
