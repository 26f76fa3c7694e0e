"""The vectorized backend gives the updates of the loop, but for rounding, and leaves to it what it cannot compute."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from components.client.trainer.model.state_dict import dump_model
from components.client.trainer.task.loading import load_task
from protocol.messages import Assignment, ModelReference, Report, Timings, Training, decode
from protocol.tensors import Array, parse_header
from simulation.backend import Backend, Done, NotDone, Work
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.vectorized.backend import VectorizedBackend
from simulation.vectorized.together import TOLERANCE

TASK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from fedgrass.task import Data

def build_model():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))

def load_data(directory, client):
    inputs, targets = torch.load(directory / "examples.pt", weights_only=True)
    return Data(TensorDataset(inputs[5:], targets[5:]), TensorDataset(inputs[:5], targets[:5]))
"""
TRAINING = Training(batch_size=8, learning_rate=0.1, momentum=0.9, epochs=2, seed=3)
TIMINGS = Timings(accepted_at=0.0, downloaded_at=1.0, trained_at=2.0, uploading_at=3.0, train_s=1.0)
SIZES = {"a": 20, "b": 30, "c": 45, "d": 29}


def setup(tmp_path: Path, task: str = TASK) -> tuple[Setup, bytes]:
    (tmp_path / "task.py").write_text(task)
    folders = {}
    for seed, (thing, size) in enumerate(SIZES.items()):
        folder = tmp_path / "data" / thing
        folder.mkdir(parents=True)
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(size, 12, generator=generator)
        torch.save([inputs, inputs[:, :3].argmax(1)], folder / "examples.pt")
        folders[thing] = str(folder)
    model = dump_model(load_task(tmp_path).build_model(3), "test")
    return Setup(task=str(tmp_path), federation="test", seed=3, folders=folders), model


def updates(backend: Backend, model: bytes) -> dict[str, Done | NotDone]:
    reference = ModelReference(key="model", sha256=hashlib.sha256(model).hexdigest(), bytes=len(model))
    assignment = Assignment(round=1, model=reference, training=TRAINING, deadline=100.0)
    work = [Work(thing=thing, timings=TIMINGS) for thing in SIZES]
    found = {answer.thing: answer for answer in backend.compute(assignment, model, b"", work)}
    backend.close()
    return found


def read(answer: Done | NotDone) -> tuple[Report, Array]:
    assert isinstance(answer, Done), answer
    header = parse_header(answer.update, len(answer.update))
    return decode(header.message, Report), np.frombuffer(answer.update, np.float32, offset=header.length)


def test_updates_are_those_of_the_loop_but_for_rounding(tmp_path: Path) -> None:
    given, model = setup(tmp_path)
    reasons: list[str] = []
    backend = VectorizedBackend(given, 2, reasons.append)
    assert backend.examples(list(SIZES)) == {thing: size - 5 for thing, size in SIZES.items()}
    expected = updates(LoopBackend(given), model)
    for thing, answer in updates(backend, model).items():
        report, change = read(answer)
        of_the_loop, wanted = read(expected[thing])
        assert np.abs(change - wanted).max() <= TOLERANCE * np.abs(wanted).max()
        for numbers in ("before", "after"):
            assert getattr(report, numbers) == pytest.approx(getattr(of_the_loop, numbers), rel=1e-3)
        for each in (report, of_the_loop):
            assert each.after.keys() == {"loss", "accuracy", "train_loss"}
        alike: dict[str, dict[str, float]] = {"before": {}, "after": {}}
        assert msgspec.structs.replace(report, **alike) == msgspec.structs.replace(of_the_loop, **alike)
    assert reasons == []


def test_a_task_with_a_training_of_its_own_is_computed_as_in_the_loop(tmp_path: Path) -> None:
    own = """
def train(model, data, settings):
    with torch.no_grad():
        model[0].weight.add_(len(data.train))
    return {"steps": 1}
"""
    given, model = setup(tmp_path, TASK + own)
    reasons: list[str] = []
    backend = VectorizedBackend(given, 1, reasons.append)
    assert updates(backend, model) == updates(LoopBackend(given), model)
    assert reasons == ["task.py has train(): it is trained by that"]


def test_a_client_without_data_declines_and_one_of_hopeless_numbers_fails_as_in_the_loop(tmp_path: Path) -> None:
    given, model = setup(tmp_path)
    (Path(given.folders["a"]) / "examples.pt").unlink()
    inputs, targets = torch.load(Path(given.folders["c"]) / "examples.pt", weights_only=True)
    torch.save([inputs * torch.nan, targets], Path(given.folders["c"]) / "examples.pt")
    reasons: list[str] = []
    found = updates(VectorizedBackend(given, 1, reasons.append), model)
    expected = updates(LoopBackend(given), model)
    assert len(reasons) == 2
    for thing in ("a", "c"):
        assert isinstance(found[thing], NotDone)
        assert found[thing] == expected[thing]
    for thing in ("b", "d"):
        read(found[thing])
