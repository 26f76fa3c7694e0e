"""A task that chooses what is trained and travels: the rest stays on the device as build_model() makes it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cli.model_round_trip import first_model, travel
from components.client.trainer.files.checkpoints import Checkpoints
from components.client.trainer.files.round_files import Belonging, RoundFiles
from components.client.trainer.model import state_dict
from components.client.trainer.model.travelling_tensors import UnsupportedModelError
from components.client.trainer.task.loading import Task, TaskError, load_task
from fedgrass.task import Client, Training, use_checkpoints
from protocol import tensors
from protocol.encodings import update_layout
from protocol.messages import Assignment
from protocol.tensors import SchemaMismatchError
from sandbox.embedded_aws import EmbeddedAws
from sandbox.scoring import Scorer
from tests.cloud.examples import report
from tests.components.client.conftest import TASK
from tests.components.client.supervised import AgentOf, read_update

SETTINGS = Training(batch_size=8, learning_rate=0.5, momentum=0.5, epochs=2, seed=3)
CLIENT = Client(thing="t", federation="f")

ADAPTED = (
    TASK.partition("def build_model")[0]
    + """
class Adapted(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.lora_a = nn.Parameter(torch.randn(2, inputs))
        self.lora_b = nn.Parameter(torch.zeros(outputs, 2))

    def forward(self, inputs):
        return self.base(inputs) + inputs @ self.lora_a.T @ self.lora_b.T


def build_model():
    return nn.Sequential(Adapted(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), Adapted(8, 2))


def parameters(model):
    return ["*.lora_?"]


def load_data"""
    + TASK.partition("def load_data")[2]
)
CHOSEN = {"0.lora_a", "0.lora_b", "4.lora_a", "4.lora_b"}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    path = list(sys.path)
    yield
    use_checkpoints(None)
    sys.path[:] = path
    sys.modules.pop("task", None)


TaskOf = Callable[..., Task]


@pytest.fixture
def task_of(tmp_path: Path) -> TaskOf:
    def write(source: str = ADAPTED) -> Task:
        (tmp_path / "task.py").write_text(source)
        return load_task(tmp_path)

    return write


def choosing(expression: str) -> str:
    return ADAPTED.replace('["*.lora_?"]', expression)


def values_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def loaded(file: bytes) -> tuple[tensors.Header, dict[str, Tensor]]:
    data = bytearray(file)
    header = tensors.parse_header(data, len(data))
    return header, state_dict.views(header, data)


def test_only_what_is_chosen_is_trained_and_travels_and_the_rest_keeps_its_bits(
    task_of: TaskOf, tmp_path: Path
) -> None:
    task = task_of()
    model, data = task.build_model(7), task.load_data(tmp_path, CLIENT)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == CHOSEN
    header, base = loaded(first_model(task, "f", 7))
    assert header.schema.keys() == CHOSEN
    state_dict.load(model, header, base)
    before = values_of(model)
    task.evaluate(model, data)
    task.train(model, data, SETTINGS)
    after = values_of(model)
    assert {name for name in before if not torch.equal(before[name], after[name])} == CHOSEN
    layout = update_layout(header, "float32")
    update, _ = state_dict.dump_change(state_dict.delta(model, base, layout), layout, report("t"))
    header, difference = loaded(update)
    assert header.schema.keys() == CHOSEN
    for name in CHOSEN:
        torch.testing.assert_close(difference[name], after[name] - before[name])


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("['4.*']", {"4.base.weight", "4.base.bias", "4.lora_a", "4.lora_b"}),
        ("('4.base.bias', '1.running_*')", {"4.base.bias", "1.running_mean", "1.running_var"}),
        ("{'4.base.weight', '4.base.*'}", {"4.base.weight", "4.base.bias"}),
        ("[name for name, _ in model[4].named_parameters(prefix='4') if 'lora' in name]", {"4.lora_a", "4.lora_b"}),
    ],
)
def test_names_and_patterns_choose_parameters_and_buffers(task_of: TaskOf, chosen: str, expected: set[str]) -> None:
    task = task_of(choosing(chosen))
    file = first_model(task, "f", 1)
    assert loaded(file)[0].schema.keys() == expected
    travel(task, file, 1, "int8")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("['*.lora_c']", r"returned '\*.lora_c', which no tensor of the model's state_dict\(\) is called"),
        ("['4.lora_aa']", "'4.lora_aa', .*; did you mean '4.lora_a'?"),
        ("['0.*', 'head.*']", r"'head.\*', .*: it has '0.lora_a', '0.lora_b', .*, and 8 more"),
        ("[]", "returned nothing: it has to return a list of names"),
        ("None", "returned nothing"),
        ("'4.*'", "returned str: it has to return a list of names"),
        ("model.parameters()", "returned generator: it has to return a list of names"),
        ("list(model.parameters())", "returned a list with Parameter in it"),
        ("['1.running_mean']", r"chose no parameter that takes gradients \(requires_grad\): the default train"),
        ("[1 / 0]", r": ZeroDivisionError: .* \(task.py, line \d+\)"),
    ],
)
def test_what_chooses_nothing_is_told_with_what_there_is(task_of: TaskOf, returned: str, message: str) -> None:
    with pytest.raises(TaskError, match=rf"^parameters\(\) of task.py.*{message}"):
        task_of(choosing(returned)).build_model()


def test_a_training_of_ones_own_may_choose_buffers_alone_and_sees_the_whole_model(
    task_of: TaskOf, tmp_path: Path
) -> None:
    own = (
        "def train(model, data, settings):\n"
        "    model[1].running_mean += 1\n"
        "    return {'frozen': sum(not p.requires_grad for p in model.parameters()), 'all': len(model.state_dict())}\n"
    )
    task = task_of(choosing("['1.running_mean']") + own)
    model = task.build_model(1)
    assert task.train(model, task.load_data(tmp_path, CLIENT), SETTINGS) == {"frozen": 10.0, "all": 13.0}
    assert loaded(first_model(task, "f", 1))[0].schema.keys() == {"1.running_mean"}


def test_normalization_whose_statistics_travel_follows_the_data(task_of: TaskOf, tmp_path: Path) -> None:
    task = task_of(choosing("['4.*', '1.*']"))
    model = task.build_model(1)
    task.train(model, task.load_data(tmp_path, CLIENT), SETTINGS)
    assert model.get_buffer("1.num_batches_tracked") == 8
    assert not torch.equal(model.get_buffer("1.running_mean"), torch.zeros(8))


def test_names_that_a_state_dict_of_ones_own_gives_are_those_that_count(task_of: TaskOf) -> None:
    renaming = """
class Renamed(nn.Sequential):
    def state_dict(self, *args, **kwargs):
        return {"net/" + name: value for name, value in super().state_dict(*args, **kwargs).items()}

    def load_state_dict(self, state, strict=True):
        return super().load_state_dict({name[4:]: value for name, value in state.items()}, strict)


"""
    source = choosing("['net/4.*']").replace("return nn.Sequential", "return Renamed")
    task = task_of(source.replace("def build_model", renaming + "def build_model"))
    trained = {name for name, parameter in task.build_model().named_parameters() if parameter.requires_grad}
    assert trained == {"4.base.weight", "4.base.bias", "4.lora_a", "4.lora_b"}
    file = first_model(task, "f", 1)
    assert loaded(file)[0].schema.keys() == {f"net/{name}" for name in trained}
    travel(task, file, 1, "float32")


def test_what_does_not_travel_need_not_be_able_to(task_of: TaskOf) -> None:
    task = task_of(
        ADAPTED.replace(
            "self.base = ", "self.register_buffer('phase', torch.ones(1, dtype=torch.complex64))\n        self.base = "
        )
    )
    travel(task, first_model(task, "f", 1), 1, "float32")


def test_what_does_not_travel_has_to_be_the_same_on_every_device(task_of: TaskOf) -> None:
    task = task_of(ADAPTED.replace("return nn.Sequential(", "torch.seed()\n    return nn.Sequential("))
    with pytest.raises(
        UnsupportedModelError, match=r"tensor '0.base.weight' does not travel, and build_model\(\) makes"
    ):
        travel(task, first_model(task, "f", 1), 1, "float32")


def test_another_choice_on_a_device_is_told_as_another_model(task_of: TaskOf) -> None:
    header, base = loaded(first_model(task_of(), "f", 1))
    for other, named in (
        (choosing("['4.*']"), "as its parameters() chooses: tensor '4.base."),
        (ADAPTED.replace("def parameters", "def chosen"), "of this device makes: tensor "),
    ):
        with pytest.raises(SchemaMismatchError) as told:
            state_dict.load(task_of(other).build_model(1), header, base)
        assert named in str(told.value)


def test_training_that_was_cut_off_goes_on_with_the_same_bits_and_keeps_only_what_changes(
    task_of: TaskOf, tmp_path: Path
) -> None:
    task = task_of()
    data = task.load_data(tmp_path, CLIENT)
    belonging = Belonging(
        federation="f", thing="t", round=1, model="", task="", training=SETTINGS, encoding="float32", component=""
    )

    def trained(kept: Checkpoints | None, limit: int | None = None) -> dict[str, Any]:
        use_checkpoints(kept)
        model = task.build_model(1)
        torch.manual_seed(2)
        settings = (
            SETTINGS if limit is None else Training(batch_size=8, learning_rate=0.5, momentum=0.5, steps=limit, seed=3)
        )
        task.train(model, data, settings)
        return values_of(model)

    def new_process() -> Checkpoints:
        kept = Checkpoints(RoundFiles(tmp_path / "round", belonging), data.examples, steps=1, interval_s=0.0)
        kept.find()
        kept.begin({}, 0.0)
        return kept

    expected = trained(None)
    trained(new_process(), 5)
    files = [file.read_bytes() for file in (tmp_path / "round").iterdir() if b"0.lora_a" in file.read_bytes()]
    assert files
    assert not any(b"base.weight" in file for file in files)
    resumed = trained(new_process())
    assert all(torch.equal(value, resumed[name]) for name, value in expected.items())


def test_a_round_on_a_device_sends_only_what_is_chosen(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws, task_of: TaskOf
) -> None:
    assignment = assign(1, task_of().build_model(5), seed=5)
    agent = agent_of(ADAPTED)
    agent.train(assignment)
    assert agent.end().phase == "done"
    header, told = read_update(aws, 1)
    assert header.schema.keys() == CHOSEN
    assert told.before["loss"] != told.after["loss"]


def test_a_model_is_scored_with_the_rest_that_the_seed_gives(task_of: TaskOf, tmp_path: Path) -> None:
    task = task_of()
    model = tmp_path / "model"
    model.write_bytes(first_model(task, "f", 5))
    expected = task.evaluate(task.build_model(5), task.load_data(tmp_path, CLIENT))
    with Scorer(tmp_path, tmp_path, tmp_path, seed=5) as scorer:
        assert scorer.score(model) == pytest.approx(expected)
