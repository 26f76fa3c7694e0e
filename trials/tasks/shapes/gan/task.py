"""Two networks that train against each other."""

import zlib
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fedgrass.task import Client, Data, Metrics, Training


def build_model() -> nn.Module:
    """A generator of points, and a critic of them."""
    return nn.ModuleDict(
        {
            "generator": nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2)),
            "critic": nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
        }
    )


def load_data(directory: Path, client: Client) -> Data:
    """Points around (2, -1)."""
    generator = torch.Generator().manual_seed(zlib.crc32(client.thing.encode()))
    return Data(_draw(192, generator), _draw(96, generator))


def _draw(count: int, generator: torch.Generator) -> TensorDataset:
    return TensorDataset(torch.randn(count, 2, generator=generator) * 0.5 + torch.tensor([2.0, -1.0]))


def train(model: nn.ModuleDict, data: Data, settings: Training) -> Metrics:
    """A step of the critic, a step of the generator."""
    generator, critic = model["generator"], model["critic"]
    both = [
        torch.optim.Adam(part.parameters(), lr=settings.learning_rate, betas=(0.5, 0.9)) for part in (generator, critic)
    ]
    judge = functional.binary_cross_entropy_with_logits
    for _ in range(settings.epochs or 1):
        for (real,) in DataLoader(data.train, settings.batch_size, shuffle=True):
            made = generator(torch.randn(len(real), 2))
            for optimizer in both:
                optimizer.zero_grad()
            scores, guesses = critic(real), critic(made.detach())
            loss = judge(scores, torch.ones_like(scores)) + judge(guesses, torch.zeros_like(guesses))
            loss.backward()
            both[1].step()
            both[0].zero_grad()
            judge(critic(made), torch.ones_like(guesses)).backward()
            both[0].step()
    return {"loss": loss.item()}


def evaluate(model: nn.ModuleDict, data: Data) -> Metrics:
    """How far the points that are made lie from the real ones, on the whole."""
    real = data.test.tensors[0]
    with torch.no_grad():
        made = model["generator"](torch.randn(512, 2, generator=torch.Generator().manual_seed(0)))
    return {"loss": (made.mean(0) - real.mean(0)).norm().item()}
