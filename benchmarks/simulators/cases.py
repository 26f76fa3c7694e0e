"""What is simulated: a folder with a project and the clients' data, which every contender reads."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 28
CLASSES = 10
PROJECT, DATA, HOLDOUT = "project", "data", "holdout"

LEARNING_RATE = 0.05
MOMENTUM = 0.9
BATCH = 32

_SEED = 20170217
_NOISE = 60.0

_TASK = """\
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Data


def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def load_data(directory, client):
    images = torch.from_numpy(np.load(directory / "images.npy"))
    labels = torch.from_numpy(np.load(directory / "labels.npy"))
    return Data(TensorDataset((images.float().unsqueeze(1) / 255 - 0.1307) / 0.3081, labels.long()))
"""

_FEDERATION = """\
name: benchmark
thing_group: everyone
training:
  {length}
  batch_size: {batch}
  learning_rate: {rate}
  momentum: {momentum}
"""


class Case(NamedTuple):
    """How much is simulated: each of the clients has so many examples, and trains for an epoch or for `steps`. With
    `labels`, a client has only so many of the ten digits."""

    name: str
    clients: int
    examples: int
    steps: int | None = None
    labels: int | None = None

    @property
    def steps_a_round(self) -> int:
        """Of all clients together."""
        return self.clients * (self.steps or -(-self.examples // BATCH))


class Digits(NamedTuple):
    """Images are uint8 [n, 28, 28]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def write_case(case: Case, directory: Path, source: Digits | None = None) -> None:
    """The project, and a folder of data for each client and one that none has. Without a source, digits are made up:
    each label has its own picture, and noise."""
    length = "epochs: 1" if case.steps is None else f"steps: {case.steps}"
    project = directory / PROJECT
    project.mkdir(parents=True)
    (project / "task.py").write_text(_TASK)
    (project / "federation.yaml").write_text(
        _FEDERATION.format(length=length, batch=BATCH, rate=LEARNING_RATE, momentum=MOMENTUM)
    )
    for client in range(case.clients):
        folder = directory / DATA / f"client-{client:04d}"
        _write(folder, _deal(case, client, source))
    _write(directory / DATA / HOLDOUT, _deal(case._replace(examples=500, labels=None), case.clients, source))


def _write(folder: Path, digits: Digits) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", digits.images)
    np.save(folder / "labels.npy", digits.labels)


def _deal(case: Case, client: int, source: Digits | None) -> Digits:
    random = np.random.default_rng([_SEED, client])
    own = (client + np.arange(case.labels or CLASSES)) % CLASSES
    labels = own[random.integers(0, len(own), case.examples)].astype(np.uint8)
    if source is None:
        pictures = np.random.default_rng(_SEED).integers(0, 256, (CLASSES, SIDE, SIDE))
        images = pictures[labels] + random.normal(0, _NOISE, (case.examples, SIDE, SIDE))
        return Digits(np.clip(images, 0, 255).astype(np.uint8), labels)
    by_label = [np.flatnonzero(source.labels == label) for label in range(CLASSES)]
    chosen = np.array([random.choice(by_label[label]) for label in labels])
    return Digits(source.images[chosen], labels)


def client_folders(directory: Path) -> list[Path]:
    """The folders of the clients' data."""
    return sorted(path for path in (directory / DATA).iterdir() if path.name != HOLDOUT)


def steps_of(directory: Path) -> int | None:
    """How many steps a client takes in a round; None is an epoch."""
    words = (directory / PROJECT / "federation.yaml").read_text().split()
    return int(words[words.index("steps:") + 1]) if "steps:" in words else None
