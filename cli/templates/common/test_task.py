"""The task on the data of one client: run it with pytest after each change."""

from pathlib import Path

import pytest
import torch

from components.client.trainer.task.loading import load_task
from fedgrass.task import Client, Training

HERE = Path(__file__).parent


def test_a_client_s_loss_falls_when_it_trains() -> None:
    folders = sorted(path for path in (HERE / "data" / "clients").glob("*") if path.is_dir())
    if not folders:
        pytest.fail("there is no data/clients/: make it with python make_data.py, or fedgrass split SOURCE data")
    torch.manual_seed(0)
    task = load_task(HERE)
    data = task.load_data(folders[0], Client(thing=folders[0].name, federation="@NAME@"))
    assert data.has_test, "load_data gives no test set, so devices can't tell how good a model is"
    model = task.build_model()
    before = task.evaluate(model, data)
    task.train(model, data, Training(batch_size=8, learning_rate=0.02, epochs=3))
    assert task.evaluate(model, data)["loss"] < before["loss"]
