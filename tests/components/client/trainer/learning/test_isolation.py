"""What happens beside training leaves nothing behind: the same bits with and without a test set, with and without a
power cut, for the default training and for a task's own."""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from components.client.trainer.learning import default_training, randomness
from components.client.trainer.learning.isolation import without_trace
from components.client.trainer.task.loading import Task, load_task
from fedgrass.task import Client, Data, Training
from protocol.messages import Assignment
from sandbox.embedded_aws import EmbeddedAws
from tests.components.client.agent.test_supervisor import tensor_bytes
from tests.components.client.conftest import TASK
from tests.components.client.supervised import TIMEOUT_S, AgentOf, read_update

SETTINGS = Training(batch_size=8, learning_rate=0.1, epochs=2, seed=3)
EXAMPLES = TensorDataset(torch.randn(33, 4, generator=torch.Generator().manual_seed(1)), torch.arange(33) % 2)


class Remembers(nn.Module):
    """Makes something in its first forward and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
        self.angles: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.angles is None:
            self.angles = torch.linspace(0.5, 1, 4)
        result: Tensor = self.body(inputs * self.angles)
        return result


def model_of(seed: int = 0) -> Remembers:
    torch.manual_seed(seed)
    return Remembers()


def trained(beside: Callable[[nn.Module, Data], object] | None) -> dict[str, Tensor]:
    model, data = model_of(), Data(EXAMPLES, EXAMPLES)
    randomness.seed(7)
    if beside is not None:
        beside(model, data)
    default_training.train(model, data, SETTINGS)
    return model.state_dict()


@pytest.mark.parametrize("beside", [default_training.evaluate, default_training.validate])
def test_evaluation_before_training_changes_no_bit_of_it(beside: Callable[[nn.Module, Data], object]) -> None:
    assert all(torch.equal(value, trained(None)[name]) for name, value in trained(beside).items())


def test_modes_and_generators_are_afterwards_what_they_were() -> None:
    model = model_of()
    model.body[1].eval()  # frozen, as some do
    modes = [module.training for module in model.modules()]
    randomness.seed(5)
    expected = (torch.randn(1).item(), np.random.random(), random.random())  # noqa: S311
    randomness.seed(5)
    with pytest.raises(KeyError), without_trace(model):
        assert not any(module.training for module in model.modules())
        model.train()
        torch.manual_seed(1)
        np.random.random()
        random.seed(1)
        raise KeyError
    assert [module.training for module in model.modules()] == modes
    assert (torch.randn(1).item(), np.random.random(), random.random()) == expected  # noqa: S311


def test_evaluation_in_the_midst_of_a_training_of_ones_own_leaves_its_mode() -> None:
    model = model_of()
    model.train()
    default_training.evaluate(model, Data(EXAMPLES, EXAMPLES))
    assert model.training
    model.eval()
    default_training.evaluate(model, Data(EXAMPLES, EXAMPLES))
    assert not model.training


@pytest.fixture
def task_of(tmp_path: Path) -> Iterator[Callable[[str], Task]]:
    path = list(sys.path)

    def write(source: str) -> Task:
        (tmp_path / "task.py").write_text(TASK + source)
        return load_task(tmp_path)

    yield write
    sys.path[:] = path
    sys.modules.pop("task", None)


def test_a_task_gets_the_model_in_the_mode_that_its_function_is_for(task_of: Callable[[str], Task]) -> None:
    modes = "".join(
        f"def {name}(model, data, *_): return {{'training': model.training, 'drawn': torch.rand(())}}\n"
        for name in ("train", "evaluate", "describe", "validate")
    )
    task, model, data = task_of(modes), model_of(), Data(EXAMPLES)
    for was in (True, False):
        for name, expected in (("evaluate", 0.0), ("describe", 0.0), ("train", 1.0)):
            model.train(was)
            arguments: list[Any] = [model, data, *([SETTINGS] if name == "train" else [])]
            assert getattr(task, name)(*arguments)["training"] == expected
            assert model.training == (was if name != "train" else True)
    randomness.seed(1)
    first = task.evaluate(model, data)["drawn"]
    task.validate(model, data)
    assert task.describe(model, data)["drawn"] == first
    assert task.train(model, data, SETTINGS)["drawn"] == first


def test_a_split_that_load_data_draws_is_the_same_in_every_process(
    task_of: Callable[[str], Task], tmp_path: Path
) -> None:
    source = (
        "import numpy, random\n"
        "def load_data(directory, client):\n"
        "    return Data([float(torch.rand(())), numpy.random.random(), random.random()])\n"
    )
    drawn: list[Any] = []
    for thing in ("t", "t", "u"):
        randomness.seed(len(drawn))
        drawn.append(task_of(source).load_data(tmp_path, Client(thing=thing, federation="f")).train)
    assert drawn[0] == drawn[1] != drawn[2]


OWN = (
    TASK.replace(
        "nn.Linear(4, 2)",
        "nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))",
    ).replace("TensorDataset(inputs[32:], targets[32:])", "TensorDataset(inputs[32:], targets[32:]) if TEST else None")
    + '''
import pathlib, random, time
import numpy as np
from fedgrass.task import checkpoint, checkpoint_due, report_progress, resume

def draw(count):
    return torch.randn(count) + torch.from_numpy(np.random.normal(size=count)).float() + random.gauss(0, 1)

def evaluate(model, data):
    """Leaves behind whatever it can."""
    draw(3)
    model.train()
    with torch.inference_mode():
        model(data.test.tensors[0] * 100)
    return {"accuracy": 0.5}

def describe(model, data):
    model.train()(data.train.tensors[0] * 100)
    return {"drawn": draw(1)}

def train(model, data, settings):
    saved = resume(model)
    inputs, targets = data.train.tensors
    for step in range(saved.values["step"] if saved else 0, 9):
        if step == 4 and (pathlib.Path(__file__).parent / "pause").exists():
            report_progress(step=1)
            time.sleep(1000)
        model.zero_grad()
        nn.functional.cross_entropy(model(inputs + draw(4)), targets).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        if checkpoint_due(step + 1):
            checkpoint(model, values={"step": step + 1, "best": np.float64("inf")})
    return {}
'''
)
"""A training of the task's own that chance plays a part in, and an evaluation that does what it likes."""


def test_a_training_of_ones_own_gives_the_same_bits_with_and_without_a_test_set_and_a_power_cut(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws, artifacts: Path
) -> None:
    body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    found = []
    for test, cut in ((True, False), (False, False), (True, True)):
        assignment = assign(1, body, seed=5)
        source = f"TEST = {test}\n{OWN}"
        agent = agent_of(source)
        if cut:
            (artifacts / "pause").touch()
            agent.train(assignment)
            agent.training()
            process = psutil.Process(agent.pid)
            process.kill()
            process.wait(TIMEOUT_S)
            (artifacts / "pause").unlink()
            agent = agent_of(source)
        agent.train(assignment)
        assert agent.end().phase == "done"
        found.append(tensor_bytes(aws, 1))
        assert read_update(aws, 1)[1].before == ({"accuracy": 0.5} if test else {})
    assert found[0] == found[1] == found[2]


LEAVES = (
    TASK
    + """
class Model(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros(()), persistent=False)
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, inputs):
        return super().forward(self.dropout(inputs)) * (1 + self.count)

def build_model():
    return Model()

def leave(model):
    model.count += 1
    model.dropout.p = 0.0
    model.register_forward_hook(lambda module, inputs, output: output * 2)
    model.requires_grad_(False)
    torch.set_grad_enabled(False)

def validate(model, data):
    if LEAVING:
        leave(model)
        model.seen = torch.ones(3)

def evaluate(model, data):
    if LEAVING:
        leave(model)
    return {}

describe = evaluate

def train(model, data, settings):
    inputs, targets = data.train.tensors
    nn.functional.cross_entropy(model(inputs), targets).backward()
    with torch.no_grad():
        model.weight -= 0.1 * model.weight.grad
    leave(model)
    return {}
"""
)


def test_nothing_that_is_left_in_a_model_reaches_the_update_in_a_warm_process_or_a_cold_one(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    model = nn.Linear(4, 2)
    model.register_buffer("seen", torch.zeros(0))
    found = []
    for leaving, rounds in ((True, (1, 2)), (True, (2,)), (False, (2,))):
        agent = agent_of(f"LEAVING = {leaving}\n{LEAVES}")
        for number in rounds:
            agent.train(assign(number, model, seed=5))
            assert agent.end().phase == "done"
        found.append(tensor_bytes(aws, 2))
    assert found[0] == found[1] == found[2]


def test_what_evaluation_freezes_or_turns_off_is_as_it_was_afterwards() -> None:
    model = model_of()
    model.body[0].requires_grad_(False)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    with without_trace(model):
        model.requires_grad_(not model.body[0].weight.requires_grad).body[3].requires_grad_(False)
        torch.set_grad_enabled(False)
    assert torch.is_grad_enabled()
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted


def test_gradients_are_on_in_training_whatever_the_task_has_left(task_of: Callable[[str], Task]) -> None:
    task = task_of("def train(model, data, settings):\n    return {'on': torch.is_grad_enabled()}\n")
    torch.set_grad_enabled(False)
    try:
        assert task.train(model_of(), Data(EXAMPLES), SETTINGS) == {"on": 1.0}
    finally:
        torch.set_grad_enabled(True)
