"""A task whose every number can be foretold: each device moves the one weight by what its file says."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data, DeviceState, Metrics, Training


def build_model() -> nn.Module:
    return nn.Linear(1, 1, bias=False)


def load_data(directory: Path, client: Client) -> Data:
    step, examples = (directory / "step.txt").read_text().split()
    values = torch.full((int(examples), 1), float(step))
    assert client.federation == "custom-policies"
    return Data(train=TensorDataset(values, values), test=TensorDataset(values, values))


def train(model: nn.Module, data: Data, settings: Training) -> Metrics:
    step = next(iter(data.train))[0].item()
    with torch.no_grad():
        next(model.parameters()).add_(step * settings.learning_rate)
    return {"steps": 1.0}


def evaluate(model: nn.Module, data: Data) -> Metrics:
    return {"weight": next(model.parameters()).item()}


def describe(model: nn.Module, data: Data) -> Metrics:
    return {"trust": 2.0 * next(iter(data.train))[0].item()}


def ready(device: DeviceState) -> bool:
    return device.cpu_count > 0 and not Path("not-ready").exists()
