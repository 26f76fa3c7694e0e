"""A project that trains in no time, its data, and files of experiments beside it."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from tests.cli.running import fedgrass

TASK = """
import os
import signal
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from fedgrass.task import Data

CALLS = 0


def build_model():
    return nn.Linear(6, 3)


def load_data(directory, client):
    with Path(os.environ.get("LOADED", os.devnull)).open("a") as file:
        file.write(f"{os.getpid()} {directory} {client.thing}\\n")
    inputs = torch.from_numpy(np.load(directory / "inputs.npy"))
    labels = torch.from_numpy(np.load(directory / "labels.npy"))
    return Data(TensorDataset(inputs[:30], labels[:30]), TensorDataset(inputs[30:], labels[30:]))


def train(model, data, settings):
    global CALLS
    CALLS += 1
    held = Path(os.environ.get("HELD", "/nowhere"))
    if settings.learning_rate == 0.5 and CALLS > 6 and held.exists():
        held.with_name("reached").touch()
        signal.pause()
    if settings.momentum == 0.125:
        raise ValueError("momentum that it does not like")
    if settings.momentum == 0.25:
        os._exit(7)
    inputs, labels = data.train.tensors
    for _ in range(settings.steps):
        chosen = torch.randint(len(inputs), (settings.batch_size,))
        loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen])
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= settings.learning_rate * parameter.grad
    print("trained")
    return {"loss": loss.item()}
"""

DEVICES = '{"client": "*", "examples_per_s": 10}\n{"client": "c", "examples_per_s": 5, "availability": 0.5}\n'


def write_project(directory: Path) -> None:
    """A project in `project/`, the data of four clients in `data/`, and their devices."""
    project = directory / "project"
    project.mkdir(parents=True)
    (project / "task.py").write_text(TASK)
    (project / "federation.yaml").write_text(
        "name: small\nrounds: 2\ntraining: {steps: 3, batch_size: 8, learning_rate: 0.1}\nquorum: 3\n"
    )
    (directory / "devices.jsonl").write_text(DEVICES)
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(6, 3))
    for folder in ("clients/a", "clients/b", "clients/c", "clients/d", "holdout"):
        place = directory / "data" / folder
        place.mkdir(parents=True)
        inputs = generator.normal(size=(40, 6)).astype(np.float32)
        np.save(place / "inputs.npy", inputs)
        np.save(place / "labels.npy", (inputs @ weights).argmax(1))


MATRIX = """
project: project
data: data
devices: devices.jsonl
seeds: [0, 1]
matrix:
  training.learning_rate: [0.1, 0.5]
  averaging.rule: [weighted, median]
metrics:
  accuracy: max
  best accuracy: max
  clients.loss_after: min
  rounds until accuracy >= 0.99: min
  seconds until accuracy >= 0.1: min
out: results
"""

COMMAND = [sys.executable, "-m", "cli.main", "experiment"]


def experiment(file: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Give the command."""
    with mock.patch.dict(os.environ, environment):
        ran = fedgrass("experiment", str(file), *options)
    return subprocess.CompletedProcess([], ran.status, ran.out, ran.error)


def written(results: Path) -> dict[str, bytes]:
    """What an experiment has written beside its runs, that depends on nothing but them."""
    return {
        path.name: path.read_bytes() for path in results.iterdir() if path.suffix in (".csv", ".md", ".json", ".svg")
    }
