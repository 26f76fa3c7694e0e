"""Fuel consumption: how many miles does a car go on a gallon? A regression on a CSV file."""

import csv
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data

INPUTS = ("cylinders", "displacement", "horsepower", "weight", "acceleration", "origin")
TARGET = "mpg"
MEAN = torch.tensor([5.5, 194.0, 104.0, 2978.0, 15.5, 1.6])  # about those of all cars: the same on each device
DEVIATION = torch.tensor([1.7, 105.0, 38.0, 849.0, 2.8, 0.8])


def build_model() -> nn.Module:
    """Two layers; the last one begins at the mean of all cars."""
    last = nn.Linear(32, 1)
    nn.init.constant_(last.bias, 23.0)
    return nn.Sequential(nn.Linear(len(INPUTS), 32), nn.ReLU(), last)


def load_data(directory: Path, client: Client) -> Data:
    """The rows of this client's table. Each fifth is for testing the model before and after training."""
    with (directory / "data.csv").open(newline="") as file:
        rows = [[float(row[column]) for column in (*INPUTS, TARGET)] for row in csv.DictReader(file)]
    table = torch.tensor(rows)
    inputs, targets = (table[:, :-1] - MEAN) / DEVIATION, table[:, -1]
    test = torch.arange(len(table)) % 5 == 4
    return Data(TensorDataset(inputs[~test], targets[~test]), TensorDataset(inputs[test], targets[test]))


def loss(model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """What training lowers, and beside it a figure to look at: the mean error in miles a gallon."""
    inputs, targets = batch
    predicted = model(inputs).squeeze(1)
    return functional.smooth_l1_loss(predicted, targets), {"error_mpg": (predicted - targets).abs().mean()}
