"""A mistake in a federation's folder, and the folder without it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from cli.checking.findings import Finding

TASK = '''"""Shapes in small pictures."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4 * 8 * 8, 3)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        return self.head(x.flatten(1))


def build_model():
    return Net()


def load_data(directory: Path, client: Client) -> Data:
    images = torch.from_numpy(np.load(directory / "images.npy"))
    labels = torch.from_numpy(np.load(directory / "labels.npy"))
    return Data(TensorDataset(images[:40], labels[:40]), TensorDataset(images[40:], labels[40:]))
'''

SETTINGS = """name: shapes
rounds: 3
training:
  epochs: 2
  batch_size: 16
  learning_rate: 0.1
"""

CLIENTS = ("device-000", "device-001")


class Mistake(NamedTuple):
    """A mistake by its name: `files` are written over those of the sound folder (None takes one away). `told` are words
    of the message and its remedy; `where` is a piece of the user's own line that it quotes, "" if it has none. The
    check is called with the `argument` of the folder, and with data unless `has_data` is False. `breaks` is what it
    does to the process that it runs in."""

    name: str
    files: dict[str, str | bytes | None]
    told: tuple[str, ...]
    where: str = ""
    severity: Literal["error", "warning"] = "error"
    file: str = "task.py"
    argument: str = ""
    has_data: bool = True
    breaks: bool = False


def task(old: str, new: str) -> dict[str, str | bytes | None]:
    """The sound task.py with a piece of it replaced."""
    if old not in TASK:
        raise ValueError(f"the task has no {old!r}")
    return {"task.py": TASK.replace(old, new)}


def more(source: str) -> dict[str, str | bytes | None]:
    """The sound task.py with something at its end."""
    return {"task.py": f"{TASK}\n\n{source}"}


def settings(old: str, new: str) -> dict[str, str | bytes | None]:
    """The sound federation.yaml with a piece of it replaced."""
    if old not in SETTINGS:
        raise ValueError(f"the settings have no {old!r}")
    return {"federation.yaml": SETTINGS.replace(old, new)}


def write(mistake: Mistake, folder: Path) -> tuple[Path, Path]:
    """The folder with the mistake in it, and that of the data beside it: what to check."""
    project, data = folder / "project", folder / "clients"
    for number, thing in enumerate(CLIENTS):
        (data / thing).mkdir(parents=True)
        for name, array in arrays(number).items():
            np.save(data / thing / name, array)
    project.mkdir()
    files: dict[str, str | bytes | None] = {"task.py": TASK, "federation.yaml": SETTINGS}
    for name, content in (files | mistake.files).items():
        if content is None:
            continue
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return project / mistake.argument, data


def finding_of(mistake: Mistake, findings: Sequence[Finding]) -> Finding | None:
    """The finding that tells the mistake with its line; None if there is none."""
    for finding in findings:
        text = f"{finding.text}; {finding.remedy}"
        is_there = mistake.where in (finding.code or "") and (finding.file or "").endswith(mistake.file)
        if is_there and finding.severity == mistake.severity and all(word in text for word in mistake.told):
            return finding
    return None


def arrays(seed: int) -> dict[str, Any]:
    """One client's pictures and labels."""
    generator = np.random.default_rng(seed)
    return {
        "images.npy": generator.normal(size=(50, 1, 8, 8)).astype(np.float32),
        "labels.npy": np.arange(50) % 3,
    }
