"""components/inference/infer.py: which model it serves, and how it goes from one to the next."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from components.build import build
from components.client.trainer.model import state_dict
from components.inference.infer import Inference, tensors, versions
from operations import model_component
from operations.model_component import Metadata
from tests.paths import ROOT


def file_of(bias: float) -> bytes:
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.fill_(bias)
    return state_dict.dump_model(network, "digits", round_number=int(bias))


def put(models: Path, version: str, bias: float) -> Path:
    """A version of the model as a nucleus leaves it, whose network adds up two inputs and `bias`."""
    model = file_of(bias)
    about = Metadata(
        federation="digits", life="", round=int(bias), metrics={"loss": 0.5}, model=model_component.file_of(model)
    )
    directory = models / version
    directory.mkdir(parents=True)
    for name, content in model_component.artifacts(about, model, None).items():
        (directory / name).write_bytes(content)
    return directory


class Served:
    """An inference component in a directory of a test's."""

    def __init__(self, directory: Path) -> None:
        self.models, self.inputs, self.outputs = (directory / name for name in ("models", "inputs", "outputs"))
        for made in (self.inputs, self.outputs):
            made.mkdir()
        self.inference = Inference(nn.Linear(2, 1), self.models, self.inputs, self.outputs)

    def answer(self, name: str, inputs: Any = ((1.0, 2.0),)) -> list[float]:
        np.save(self.inputs / f"{name}.npy", np.array(inputs, np.float32))
        self.inference.look_for_models()
        self.inference.look_for_inputs()
        path = self.outputs / f"{name}.npy"
        return [] if not path.exists() else [float(one) for one in np.load(path).ravel()]


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def test_nothing_is_answered_until_there_is_a_model_and_then_all_is(served: Served) -> None:
    assert served.answer("early") == []
    put(served.models, "1.0.0", 10)
    assert served.answer("late") == [13.0]
    assert [float(one) for one in np.load(served.outputs / "early.npy").ravel()] == [13.0]


def test_the_newest_version_by_its_numbers_is_taken_up_without_a_restart(served: Served) -> None:
    for version, bias in (("1.0.9", 9), ("1.0.10", 10), ("1.0.2", 2), ("1.1.0-rc.1", 20), ("1.1.0", 30)):
        put(served.models, version, bias)
        newest = next(versions(served.models))
        assert served.answer(version) == [3.0 + json.loads((newest / "model.json").read_text())["round"]]
    assert served.inference.current == served.models / "1.1.0"


def test_a_version_that_was_rolled_back_is_left(served: Served) -> None:
    put(served.models, "1.0.0", 10)
    newer = put(served.models, "1.0.1", 20)
    assert served.answer("a") == [23.0]
    shutil.rmtree(newer)
    assert served.answer("b") == [13.0]


def test_a_version_that_is_not_whole_yet_is_taken_up_when_it_is(served: Served) -> None:
    put(served.models, "1.0.0", 10)
    newer = put(served.models, "1.0.1", 20)
    whole = (newer / "model.safetensors").read_bytes()
    (newer / "model.safetensors").write_bytes(whole[:-4])
    assert served.answer("a") == [13.0]
    assert served.answer("b") == [13.0]
    (newer / "model.safetensors").write_bytes(whole)
    assert served.answer("c") == [23.0]


@pytest.mark.parametrize("fault", ["no model", "no json", "another json", "another network", "cut off"])
def test_a_version_that_cannot_be_used_is_passed_over(served: Served, fault: str) -> None:
    put(served.models, "1.0.0", 10)
    broken = put(served.models, "1.0.1", 20)
    model = broken / "model.safetensors"
    if fault == "no model":
        model.unlink()
    elif fault in ("no json", "another json"):
        (broken / "model.json").write_text("{" if fault == "no json" else "[]")
    else:
        data = state_dict.dump_model(nn.Linear(3, 1), "digits") if fault == "another network" else b"\xff" * 20
        model.write_bytes(data)
        about = msgspec.json.decode((broken / "model.json").read_bytes())
        about["model"]["sha256"] = model_component.file_of(data).sha256
        (broken / "model.json").write_bytes(msgspec.json.encode(about))
    assert served.answer("a") == [13.0]


def test_inputs_that_cannot_be_answered_keep_no_others_waiting(served: Served) -> None:
    put(served.models, "1.0.0", 10)
    (served.inputs / "a.npy").write_bytes(b"no array")
    assert served.answer("b", ((1.0, 2.0, 3.0),)) == []
    assert served.answer("c") == [13.0]
    assert np.load(served.outputs / "a.npy").size == 0


def test_the_numbers_of_all_types_are_read(served: Served) -> None:
    network = nn.Module()
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8):
        network.register_buffer(f"of_{str(dtype)[6:]}", torch.arange(6).reshape(2, 3).to(dtype))
    network.register_buffer("empty", torch.empty(0, 3))
    network.register_buffer("scalar", torch.tensor(3.0))
    read = tensors(bytearray(state_dict.dump_model(network, "digits")))
    for name, value in network.state_dict().items():
        assert torch.equal(read[name], value)
        assert read[name].dtype == value.dtype


def test_it_is_built_with_the_task_and_what_that_imports(tmp_path: Path) -> None:
    built = build(ROOT / "components" / "inference", tmp_path)
    made = {path.name for path in built.artifacts.iterdir()}
    assert made == {"infer.py", "task.zip", "fedgrass.zip"}
