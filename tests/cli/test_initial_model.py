"""Model 0: a check takes what devices can train, and refuses anything else."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.initial_model import InitialModelError, initial_model
from cli.project import load
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from components.client.trainer.task.loading import TaskError, load_task
from protocol.messages import encode
from protocol.tensors import dump, parse_header
from protocol.tensors import load as load_tensors

_REFUSED = (InitialModelError, TaskError, UnsupportedModelError)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("task", None)


def made(directory: Path, body: str, **settings: str) -> bytes:
    (directory / "task.py").write_text(
        f"import torch\nfrom torch import nn\ndef load_data(directory, client): ...\ndef build_model():\n    {body}\n"
    )
    settings = {"name": "f", "training": "{epochs: 1, batch_size: 8, learning_rate: 0.1, seed: 4}"} | settings
    (directory / "federation.yaml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    project = load(directory)
    return initial_model(load_task(project.task), project.directory, project.settings)


def test_it_is_what_build_model_gives_with_the_seed_of_the_settings(tmp_path: Path) -> None:
    torch.manual_seed(4)
    expected = torch.nn.Linear(2, 2).weight.detach().numpy()
    assert np.array_equal(load_tensors(made(tmp_path, "return nn.Linear(2, 2)"))[1]["weight"], expected)


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("download", ["model", "bfloat16"])
def test_infinite_constants_are_taken(tmp_path: Path, encoding: str, download: str) -> None:
    model = made(
        tmp_path, "return nn.ParameterList([torch.ones(2), -torch.ones(1) / 0])", encoding=encoding, download=download
    )
    assert load_tensors(model)[1]["1"].tolist() == [-np.inf]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return nn.Linear(2, 2, dtype=torch.complex64)", "tensor 'weight' is torch.complex64"),
        (
            "return nn.ParameterList([torch.ones(2), torch.full((1,), torch.nan)])",
            r"tensor '1' is not a number \(nan\)",
        ),
        ("return nn.Flatten()", "the model has no tensors"),
        ("raise OSError('disk')", r"build_model\(\) of task.py: OSError: disk \(task.py, line 5\)"),
    ],
)
def test_what_no_device_can_train_is_refused_by_name(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(_REFUSED, match=message):
        made(tmp_path, body)


def test_a_number_that_the_offered_copy_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(_REFUSED, match="download: bfloat16 does not fit the initial model: tensor '0'"):
        made(tmp_path, "return nn.ParameterList([torch.full((1,), 3.4e38)])", download="bfloat16")


def test_a_file_to_start_from_is_looked_at_as_well(tmp_path: Path) -> None:
    model = made(tmp_path, "return nn.Linear(2, 2)")
    header = parse_header(model, len(model))
    _, arrays = load_tensors(model)
    arrays["bias"] = np.array([1.0, np.nan], np.float32)
    dtypes = {tensor.name: tensor.dtype for tensor in header.tensors}
    (tmp_path / "start.safetensors").write_bytes(dump(arrays, dtypes, encode(header)))
    with pytest.raises(_REFUSED, match=r"start\.safetensors: tensor 'bias' is not a number \(nan\)"):
        made(tmp_path, "return nn.Linear(2, 2)", initial_model="start.safetensors")


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" + bytes(100), b"{}", b"\x10" + bytes(7) + b"no JSON, but long enough"]
)
def test_what_is_no_safetensors_file_is_told_with_how_to_make_one(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        InitialModelError, match=f"{name} is no safetensors file: .*; make one .* safetensors.torch.save_file"
    ):
        made(tmp_path, "return nn.Linear(2, 2)", initial_model=name)


def test_so_is_what_torch_saves(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pt")
    with pytest.raises(_REFUSED, match=r"x\.pt is no safetensors file"):
        made(tmp_path, "return nn.Linear(2, 2)", initial_model="x.pt")


def test_a_file_of_other_tensors_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(made(tmp_path, "return nn.Linear(2, 3)"))
    sys.modules.pop("task", None)
    with pytest.raises(_REFUSED, match=r"x\.safetensors does not fit build_model"):
        made(tmp_path, "return nn.Linear(2, 2)", initial_model="x.safetensors")
