"""The trial journey of a model: what it lets pass, devices can load and train; what it refuses, it names."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import torch

from cli.model_round_trip import first_model, travel
from cloud.averaging.bfloat16_copy import bfloat16_copy_of
from components.client.trainer.model import state_dict
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from components.client.trainer.task.loading import Task, load_task
from protocol import tensors
from protocol.encodings import update_layout
from protocol.messages import Encoding


class TaskOf(Protocol):
    def __call__(self, body: str, *, more: str = "") -> Task: ...


LINEAR = "return nn.Linear(4, 2)"
DATA = "\ndef load_data(directory, client): ...\n"


@pytest.fixture
def task_of(tmp_path: Path) -> Iterator[TaskOf]:
    """The task whose build_model() has this body."""
    path = list(sys.path)

    def write(body: str, *, more: str = "") -> Task:
        body = "\n".join(f"    {line}" for line in body.splitlines())
        source = f"import torch\nfrom torch import nn\n{CLASSES}\n{more}\ndef build_model():\n{body}\n{DATA}"
        (tmp_path / "task.py").write_text(source)
        return load_task(tmp_path)

    yield write
    sys.path[:] = path
    sys.modules.pop("task", None)


CLASSES = '''
class Copies(nn.Linear):
    """As an adapter that gives copies."""
    def state_dict(self, *args, **kwargs):
        return {name: value.detach().clone() for name, value in super().state_dict(*args, **kwargs).items()}

class Renames(nn.Module):
    """As a wrapper that hides itself."""
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    def state_dict(self, *args, **kwargs):
        return {"net." + name: value for name, value in self.inner.state_dict(*args, **kwargs).items()}
    def load_state_dict(self, state, strict=True):
        return self.inner.load_state_dict({name[4:]: value for name, value in state.items()}, strict)

class Halves(nn.Linear):
    """Travels in half as many bytes."""
    def state_dict(self, *args, **kwargs):
        return {name: value.half() for name, value in super().state_dict(*args, **kwargs).items()}

class Adapted(nn.Linear):
    """LoRA, of which the adapter alone travels; the rest is frozen."""
    def __init__(self):
        super().__init__(4, 2)
        self.requires_grad_(False)
        self.lora_a, self.lora_b = nn.Parameter(torch.randn(1, 4)), nn.Parameter(torch.randn(2, 1))
    def state_dict(self, *args, **kwargs):
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if "lora" in name}

class AdaptedLoader(Adapted):
    def load_state_dict(self, state):
        return super().load_state_dict(state, strict=False)

class Hooked(nn.Linear):
    """Leaves its bias out by a hook."""
    def __init__(self):
        super().__init__(4, 2)
        def leave_out(module, state, prefix, metadata):
            state.pop(prefix + "bias")
        self.register_state_dict_post_hook(leave_out)

class Assigns(nn.Linear):
    """Takes what it is given for its own."""
    def load_state_dict(self, state, strict=True):
        return super().load_state_dict(state, strict, assign=True)

class Tied(nn.Module):
    def __init__(self, kind=nn.Linear):
        super().__init__()
        self.first, self.last = kind(4, 4), kind(4, 4)
        self.last.weight = self.first.weight

class Extra(nn.Linear):
    """Has a tensor for its extra state."""
    counted = torch.tensor([3.0])
    def get_extra_state(self):
        return self.counted
    def set_extra_state(self, state):
        self.counted = state

class WithBuffer(nn.Linear):
    def __init__(self, buffer, persistent=True):
        super().__init__(4, 2)
        self.register_buffer("kept", buffer, persistent=persistent)

class Deaf(Copies):
    """Does not load what it gives."""
    def load_state_dict(self, state, strict=True):
        pass

class OneWay(nn.Linear):
    """Renames without the way back."""
    def state_dict(self, *args, **kwargs):
        return {"net." + name: value for name, value in super().state_dict(*args, **kwargs).items()}

class Unpicklable(nn.Linear):
    def get_extra_state(self):
        return {"version": 1}

class Raises(nn.Linear):
    def load_state_dict(self, state, strict=True):
        raise KeyError("weights")

class Checks(nn.Module):
    """Loads probabilities only."""
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.rand(4).softmax(0))
    def _load_from_state_dict(self, state, prefix, *args):
        if not torch.isclose(state[prefix + "p"].sum(), torch.ones(())):
            raise ValueError("probabilities must sum to one")
        super()._load_from_state_dict(state, prefix, *args)

class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)
        self.decoder.weight = nn.Parameter(self.encoder.weight.t())

class Overlaps(nn.Module):
    """Two of its tensors are parts of one."""
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("first_row", self.layer.weight.detach()[0])
'''


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(
    "body",
    [
        LINEAR,
        "return Copies(4, 2)",
        "return nn.Sequential(Copies(4, 2), nn.ReLU())",
        "return Renames()",
        "return Halves(4, 2)",
        "return Adapted()",
        "return AdaptedLoader()",
        "return nn.Sequential(Adapted(), nn.Linear(2, 2))",
        "return Hooked()",
        "return Assigns(4, 2)",
        "return Checks()",
        "return Tied()",
        "return Tied(Copies)",
        "return Extra(4, 2)",
        "return nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))",
        "return nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))",
        "return nn.utils.parametrizations.orthogonal(nn.Linear(4, 2))",
        "return nn.utils.spectral_norm(nn.Linear(4, 2))",
        "return nn.LSTM(4, 3, 2, bidirectional=True)",
        "return nn.TransformerEncoderLayer(8, 2)",
        "return WithBuffer(torch.tensor([True, False]))",
        "return WithBuffer(torch.arange(5, dtype=torch.uint8))",
        "return WithBuffer(torch.full((3,), torch.nan), persistent=False)",
        "return WithBuffer(torch.zeros(3).expand(2, 3), persistent=False)",
        "return WithBuffer(torch.arange(3).expand(1, -1))",
        "return WithBuffer(nn.Transformer.generate_square_subsequent_mask(4))",
        "return WithBuffer(torch.tensor([torch.inf, 1.0, -torch.inf], dtype=torch.float16))",
        "model = nn.LazyLinear(2)\nmodel(torch.zeros(1, 4))\nreturn model",
        "model = nn.Linear(4, 2)\nmodel.bias.data[0] = torch.inf\nreturn model",
        "torch.manual_seed(7)\nreturn Tied(Copies)",
    ],
)
def test_these_pass_and_a_device_has_the_global_model_then(task_of: TaskOf, body: str, encoding: Encoding) -> None:
    task = task_of(body)
    model = first_model(task, "f", 1)
    for downloaded in (model, bfloat16_copy_of(model)):
        travel(task, downloaded, 1, encoding)
    sent, device = task.build_model(2), task.build_model(3)
    file = bytearray(state_dict.dump_model(sent, "f"))
    header = tensors.parse_header(file, len(file))
    state_dict.load(device, header, state_dict.views(header, file))
    for name, value in sent.state_dict().items():
        assert torch.equal(device.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return nn.ReLU()", r"the model has no tensors"),
        ("return Deaf(4, 2)", r"tensor 'weight' is not what was loaded into it"),
        ("return OneWay(4, 2)", r"tensor 'net.weight' is not what was loaded into it"),
        ("return Overlaps()", r"tensor '(first_row|layer.weight)' is not what was loaded into it"),
        (
            "return Transposed()",
            r"tensor '(en|de)coder.weight' is not .*shares memory with '(en|de)coder.weight', .* in forward\(\)",
        ),
        ("return Unpicklable(4, 2)", r"'_extra_state' is dict, no tensor: have get_extra_state"),
        ("return Raises(4, 2)", r"the model cannot be loaded: KeyError: 'weights' \(task.py, line \d+\)"),
        ("return nn.LazyLinear(2)", r"tensor 'weight' has no shape yet"),
        ("return nn.Linear(4, 2, device='meta')", r"tensor 'weight' is on the meta device"),
        ("return WithBuffer(torch.eye(3).to_sparse())", r"tensor 'kept' is sparse_coo, which is not supported"),
        ("return WithBuffer(torch.eye(3).to_sparse_csr())", r"tensor 'kept' is sparse_csr, which is not supported"),
        (
            "return WithBuffer(torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]))",
            r"tensor 'kept' is nested",
        ),
        ("return WithBuffer(torch.zeros(2, dtype=torch.complex64))", r"tensor 'kept' is torch.complex64"),
        ("return WithBuffer(torch.zeros(2, dtype=torch.uint16))", r"tensor 'kept' is torch.uint16"),
        ("return WithBuffer(torch.zeros(2).to(torch.float8_e4m3fn))", r"tensor 'kept' is torch.float8_e4m3fn"),
        (
            "return WithBuffer(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))",
            r"tensor 'kept' is torch.qint8",
        ),
        ("return WithBuffer(torch.zeros(3).expand(2, 3))", r"tensor 'kept' is expanded, .* clone\(\)"),
        ("return WithBuffer(torch.tensor([1.0, torch.nan]))", r"tensor 'kept' is not a number \(nan\)"),
        ("return nn.Linear(4, 2).requires_grad_(False)", r"no parameter of the model takes gradients"),
        ("return nn.ParameterDict({'x' * 3_400_000 + str(i): torch.ones(1) for i in range(3)})", "limit of 10000000"),
        ("return nn.ParameterDict({'x' * 3_300_000 + str(i): torch.ones(1) for i in range(3)})", "3 tensors take 9,9"),
        (
            "global size\nsize += 1\nreturn nn.Linear(size, 2)",
            r"not what build_model\(\) of this device makes: tensor 'weight'",
        ),
    ],
)
def test_what_no_device_could_train_is_refused_by_name(task_of: TaskOf, body: str, message: str) -> None:
    task = task_of(body, more="size = 0")
    with pytest.raises(UnsupportedModelError, match=message):
        travel(task, first_model(task, "f", 1), 1, "float32")


def test_a_model_without_gradients_is_for_tasks_that_train_it_themselves(task_of: TaskOf) -> None:
    task = task_of(f"{LINEAR}.requires_grad_(False)", more="def train(model, data, settings): ...")
    travel(task, first_model(task, "f", 1), 1, "float32")


@pytest.mark.parametrize(
    "body",
    [
        "return nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(20_000))",
        "return nn.Sequential(*(nn.Linear(1, 1) for _ in range(10_000)))",
    ],
)
def test_twenty_thousand_tensors_are_not_too_many(task_of: TaskOf, body: str) -> None:
    task = task_of(body)
    travel(task, first_model(task, "f", 1), 1, "int8")


WIDE = '''
LOADED = []

class Inner(nn.Module):
    """Without tensors of its own."""
    def __init__(self, layers):
        super().__init__()
        self.layers = layers
    def forward(self, inputs):
        return inputs

class LoadsItself(Inner):
    def load_state_dict(self, state, strict=True):
        raise AssertionError("torch calls that of the whole model only")

class Sees(Inner):
    def _load_from_state_dict(self, *args):
        LOADED.append("method")
        super()._load_from_state_dict(*args)

class SeesBelow(nn.BatchNorm1d):
    def _load_from_state_dict(self, *args):
        LOADED.append("method of a leaf")
        super()._load_from_state_dict(*args)

def wide():
    return nn.ParameterList(nn.Parameter(torch.randn(1)) for _ in range(2_100))
'''


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("model = Inner(wide())\nmodel.register_load_state_dict_pre_hook(lambda *_: LOADED.append('pre'))", "pre"),
        (
            (
                "model = nn.Sequential(wide(), Inner(nn.ReLU()))\n"
                "model[1].register_load_state_dict_pre_hook(lambda *_: LOADED.append('pre'))"
            ),
            "pre",
        ),
        (
            (
                "model = nn.Sequential(nn.Sequential(Inner(wide())))\n"
                "model[0].register_load_state_dict_post_hook(lambda *_: LOADED.append('post'))"
            ),
            "post",
        ),
        ("model = nn.Sequential(Sees(wide()))", "method"),
        ("model = nn.Sequential(wide(), SeesBelow(3))", "method of a leaf"),
        (
            (
                "model = Inner(wide())\n"
                "whole = model._load_from_state_dict\n"
                "model._load_from_state_dict = lambda *args: (LOADED.append('own'), whole(*args))"
            ),
            "own",
        ),
        (
            (
                "model = nn.Sequential(wide(), LoadsItself(nn.Linear(1, 1)))\n"
                "model.register_load_state_dict_post_hook(lambda *_: LOADED.append('post'))"
            ),
            "post",
        ),
    ],
)
def test_a_model_of_many_tensors_loads_them_with_its_own_hooks_and_methods(
    task_of: TaskOf, body: str, seen: str
) -> None:
    task = task_of(f"{body}\nreturn model", more=WIDE)
    travel(task, first_model(task, "f", 1), 1, "float32")
    loads = sys.modules["task"].LOADED
    assert loads == [seen] * 3


def test_a_model_of_many_tensors_has_the_global_model_then(task_of: TaskOf) -> None:
    for body in ("Inner(wide())", "nn.Sequential(wide(), nn.BatchNorm1d(2))", "nn.Sequential(wide(), Halves(4, 2))"):
        task = task_of(f"return {body}", more=WIDE)
        file = bytearray(first_model(task, "f", 1))
        header = tensors.parse_header(file, len(file))
        device = task.build_model(2)
        state_dict.load(device, header, state_dict.views(header, file))
        loaded = device.state_dict()
        for name, value in task.build_model(1).state_dict().items():
            assert torch.equal(loaded[name], value), name


def test_what_does_not_travel_is_the_same_on_every_device(task_of: TaskOf) -> None:
    task = task_of("return Adapted()")
    torch.randn(7)
    first = task.build_model(5).get_parameter("weight")
    torch.randn(3)
    assert torch.equal(first, task.build_model(5).get_parameter("weight"))
    assert not torch.equal(first, task.build_model(6).get_parameter("weight"))


@pytest.mark.parametrize("body", ["return Assigns(4, 2)", "return nn.Sequential(Assigns(4, 2))", LINEAR])
def test_training_does_not_change_the_global_model_that_was_loaded(task_of: TaskOf, body: str) -> None:
    model = task_of(body).build_model()
    file = bytearray(state_dict.dump_model(model, "f"))
    header = tensors.parse_header(file, len(file))
    base = state_dict.views(header, file)
    state_dict.load(model, header, base)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    floats, _ = state_dict.delta(model, base, update_layout(header, "float32"))
    assert floats.tolist() == pytest.approx([1.0] * 10)


def test_the_names_of_a_wrapper_do_not_make_buffers_of_parameters(task_of: TaskOf) -> None:
    assert state_dict.buffers(task_of("return Renames()").build_model()) == ("net.1.running_mean", "net.1.running_var")


RENAMED = [
    ('name.replace(".", "/")', ["1/running_mean", "1/running_var", "scale"]),
    ('name.replace(".", "::")', ["1::running_mean", "1::running_var", "scale"]),
    ('"net." + name', ["net.1.running_mean", "net.1.running_var", "net.scale"]),
]


def renamed(name: str, value: str) -> str:
    return (
        "model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))\n"
        "model.register_buffer('scale', torch.ones(2))\n"
        "model._register_state_dict_hook(\n"
        f"    lambda module, state, *_: {{{name}: {value} for name, value in state.items()}})\n"
        "return model"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *RENAMED,
        ('name + ":0"', ["1.running_mean:0", "1.running_var:0", "scale:0"]),
        ("name.upper()", ["1.RUNNING_MEAN", "1.RUNNING_VAR", "SCALE"]),
        ('{"1.weight": "scale", "scale": "weight"}.get(name, name)', ["1.running_mean", "1.running_var", "weight"]),
    ],
)
def test_a_state_that_is_renamed_has_the_same_buffers(task_of: TaskOf, name: str, expected: list[str]) -> None:
    assert list(state_dict.buffers(task_of(renamed(name, "value")).build_model())) == expected


@pytest.mark.parametrize(("name", "expected"), RENAMED)
def test_buffers_of_a_state_of_copies_are_told_by_the_last_part_of_their_name(
    task_of: TaskOf, name: str, expected: list[str]
) -> None:
    assert list(state_dict.buffers(task_of(renamed(name, "value.clone()")).build_model())) == expected


def test_tied_weights_that_int8_has_made_differ_are_loaded_as_one_of_them(task_of: TaskOf) -> None:
    for kind in ("nn.Linear", "Copies"):
        model = task_of(f"return Tied({kind})").build_model()
        file = bytearray(state_dict.dump_model(model, "f"))
        header = tensors.parse_header(file, len(file))
        base = state_dict.views(header, file)
        base["first.weight"] += 2**-10
        state_dict.load(model, header, base)
        floats, _ = state_dict.delta(model, base, update_layout(header, "float32"))
        assert floats.any()  # the difference goes back with the next update
