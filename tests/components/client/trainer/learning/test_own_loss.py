"""A task with a loss of its own: what is no classifier, trained and evaluated by the defaults."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from components.client.trainer.learning import default_training
from components.client.trainer.learning.batches import Batch
from components.client.trainer.learning.objectives import OwnLoss
from components.client.trainer.model.state_dict import DivergedError
from components.client.trainer.task.loading import Task, TaskError, load_task
from fedgrass.task import Client, Data, Training, use_checkpoints
from tests.components.client.trainer.learning.test_default_training import Disk, PowerCut

SETTINGS = Training(batch_size=16, learning_rate=0.05, momentum=0.9, epochs=3, seed=3)
CLIENT = Client(thing="t", federation="f")

REGRESSION = """
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from fedgrass.task import Data, default_evaluate, default_train


def build_model():
    return nn.Linear(3, 1)


def load_data(directory, client):
    inputs = torch.randn(700, 3, generator=torch.Generator().manual_seed(1))
    targets = inputs @ torch.tensor([1.0, -2.0, 0.5]) + 3
    return Data(TensorDataset(inputs[:100], targets[:100]), TensorDataset(inputs[100:], targets[100:]))


def loss(model, batch):
    inputs, targets = batch
    outputs = model(inputs).squeeze(1)
    return functional.mse_loss(outputs, targets), {"mae": (outputs - targets).abs().mean()}
"""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    path = list(sys.path)
    yield
    use_checkpoints(None)
    sys.path[:] = path
    sys.modules.pop("task", None)


def task_of(directory: Path, source: str) -> Task:
    (directory / "task.py").write_text(source)
    return load_task(directory)


def returning(directory: Path, expression: str) -> Task:
    return task_of(
        directory, REGRESSION.partition("def loss")[0] + f"def loss(model, batch):\n    return {expression}\n"
    )


def test_a_regression_is_trained_and_evaluated_by_the_defaults(tmp_path: Path) -> None:
    task = task_of(tmp_path, REGRESSION)
    model, data = task.build_model(), task.load_data(tmp_path, CLIENT)
    task.validate(model, data)
    before = task.evaluate(model, data)
    trained = task.train(model, data, msgspec.structs.replace(SETTINGS, epochs=9))
    after = task.evaluate(model, data)
    assert before.keys() == after.keys() == {"loss", "mae"}
    assert trained.keys() == {"loss", "steps"}
    assert trained["steps"] == 63
    assert after["loss"] < before["loss"] / 20


def test_what_is_evaluated_is_the_mean_over_all_examples_of_batches_of_any_size(tmp_path: Path) -> None:
    task = task_of(tmp_path, REGRESSION)
    model, data = task.build_model(), task.load_data(tmp_path, CLIENT)
    assert isinstance(data.test, TensorDataset)
    inputs, targets = data.test.tensors
    with torch.no_grad():
        errors = model(inputs).squeeze(1) - targets
    found = task.evaluate(model, data)
    assert found == pytest.approx({"loss": errors.square().mean().item(), "mae": errors.abs().mean().item()})


def test_a_step_is_that_of_torch_on_this_loss(tmp_path: Path) -> None:
    task = task_of(tmp_path, REGRESSION)
    model, reference, data = task.build_model(4), task.build_model(4), task.load_data(tmp_path, CLIENT)
    task.train(model, data, Training(batch_size=100, learning_rate=0.1, steps=1))
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    assert isinstance(data.train, TensorDataset)
    inputs, targets = data.train.tensors
    nn.functional.mse_loss(reference(inputs).squeeze(1), targets).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("dataset", "loss"),
    [
        ("TensorDataset(torch.randn(40, 3))", "(model(batch[0]) ** 2).mean()"),
        (
            "TensorDataset(torch.randn(40, 3), torch.randn(40), torch.ones(40))",
            "(model(batch[0])[:, 0] * batch[2] - batch[1]).square().mean()",
        ),
        ("[torch.randn(3) for _ in range(40)]", "model(batch).square().mean()"),
        (
            "[{'x': torch.randn(3), 'y': {'z': i, 'name': 'n'}} for i in range(40)]",
            "(model(batch['x'])[:, 0] - batch['y']['z']).abs().mean()",
        ),
        (
            "[((torch.randn(3), i), [1.0, 2.0]) for i in range(40)]",
            "(model(batch[0][0])[:, 0] - batch[1][1]).abs().mean()",
        ),
    ],
)
def test_examples_may_be_of_any_structure(tmp_path: Path, dataset: str, loss: str) -> None:
    task = returning(tmp_path, loss)
    data = Data(*(eval(dataset, {"torch": torch, "TensorDataset": TensorDataset}) for _ in range(2)))  # noqa: S307
    model = task.build_model()
    task.validate(model, data)
    assert task.train(model, data, SETTINGS)["steps"] == 9
    assert task.evaluate(model, data).keys() == {"loss"}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("1.5", "returned float: it has to return a tensor, the mean loss of the batch"),
        ("None", "returned NoneType: it has to return a tensor"),
        ("model(batch[0]).mean().item()", "returned float"),
        ("(model(batch[0]).mean(),)", "returned a tuple"),
        ("(model(batch[0]) - batch[1]) ** 2", r"a tensor of shape \[1, 1\]|a tensor of shape"),
        ("functional.mse_loss(model(batch[0])[:, 0], batch[1], reduction='none').repeat(2)", r"of shape \[2\]: .*mean"),
        ("model(batch[0]).mean().detach()", "without a gradient: no parameter that is trained has a part in it"),
        ("batch[1].mean()", "without a gradient"),
        ("model(batch[0]).argmax()", "a tensor of torch.int64: it has to be of floating-point numbers"),
        ("(model(batch[0]).mean(), 'low')", "returned str beside the loss: it has to be a dict of metrics"),
        ("(model(batch[0]).mean(), {'loss': 1})", "a metric named 'loss'"),
        ("(model(batch[0]).mean(), {'mae': 'low'})", r"has to return numbers by name: 'mae' is str"),
        ("(model(batch[0]).mean(), {'mae': batch[0]})", r"'mae' is torch.Tensor of shape \[1, 3\]"),
    ],
)
def test_what_is_no_loss_is_told_before_training_with_what_to_return(
    tmp_path: Path, returned: str, message: str
) -> None:
    task = returning(tmp_path, returned)
    model, data = task.build_model(), task.load_data(tmp_path, CLIENT)
    with pytest.raises(TaskError, match=rf"^loss\(\) of task.py .*({message})") as told:
        if "** 2" in returned:  # of one example it is one number
            task.train(model, data, SETTINGS)
        task.validate(model, data)
    assert told.value.__cause__ is None


def test_an_error_in_it_is_told_with_its_line_whoever_calls_it(tmp_path: Path) -> None:
    task = returning(tmp_path, "model(batch[1]).mean()")
    model, data = task.build_model(), task.load_data(tmp_path, CLIENT)
    for call in (
        lambda: task.validate(model, data),
        lambda: task.evaluate(model, data),
        lambda: task.train(model, data, SETTINGS),
    ):
        with pytest.raises(TaskError, match=r"^loss\(\) of task.py: RuntimeError: .* \(task.py, line \d+\)"):
            call()


def test_a_loss_that_is_no_number_ends_training_and_is_named(tmp_path: Path) -> None:
    task = returning(tmp_path, "model(batch[0]).mean() * float('inf')")
    model, data = task.build_model(), task.load_data(tmp_path, CLIENT)
    task.validate(model, data)
    with pytest.raises(DivergedError, match=r"the loss is (nan|-?inf) in epoch 1, at step 7"):
        task.train(model, data, SETTINGS)


@pytest.mark.parametrize("changes", [{}, {"momentum": 0.9, "weight_decay": 0.1, "clip_norm": 0.5, "proximal": 0.5}])
def test_training_that_was_cut_off_goes_on_with_the_same_bits(tmp_path: Path, changes: dict[str, Any]) -> None:
    task = task_of(tmp_path, REGRESSION.replace("model(inputs)", "model(torch.dropout(inputs, 0.3, model.training))"))
    data = task.load_data(tmp_path, CLIENT)
    settings = Training(**{"batch_size": 16, "learning_rate": 0.05, "epochs": 3, "seed": 3} | changes)
    expected, model, resumed = (task.build_model() for _ in range(3))
    torch.manual_seed(5)
    metrics = task.train(expected, data, settings)

    class WithChance(Disk):
        def save(self, *given: Any) -> None:
            self.chance = torch.get_rng_state()
            super().save(*given)

    disk = WithChance(every=1, last=10)
    use_checkpoints(disk)
    torch.manual_seed(5)
    with pytest.raises(PowerCut):
        default_training.train(model, data, settings, task.objective)
    torch.set_rng_state(disk.chance)
    assert task.train(resumed, data, settings) == metrics
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), resumed.parameters(), strict=True))


def test_both_sets_are_tried_out_whether_or_not_the_task_trains_itself(tmp_path: Path) -> None:
    for more in ("", "def train(model, data, settings):\n    return default_train(model, data, settings)\n"):
        task = task_of(tmp_path, REGRESSION + more)
        data = task.load_data(tmp_path, CLIENT)
        for wrong in (Data(data.train, TensorDataset(torch.ones(2, 4), torch.ones(2))), Data([torch.ones(4)])):  # type: ignore[arg-type]
            with pytest.raises(TaskError, match=r"loss\(\) of task.py"):
                task.validate(task.build_model(), wrong)


def test_what_comes_beside_it_may_use_the_defaults(tmp_path: Path) -> None:
    wrapped = """
def train(model, data, settings):
    return default_train(model, data, settings) | {"extra": 1}


def evaluate(model, data):
    return default_evaluate(model, data) | {"bias": model.bias.item()}
"""
    plain, data = task_of(tmp_path, REGRESSION), None
    expected = plain.build_model()
    data = plain.load_data(tmp_path, CLIENT)
    metrics, measured = plain.train(expected, data, SETTINGS), plain.evaluate(expected, data)
    task = task_of(tmp_path, REGRESSION + wrapped)
    model = task.build_model()
    assert task.train(model, data, SETTINGS) == metrics | {"extra": 1.0}
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), model.parameters(), strict=True))
    assert task.evaluate(model, data) == measured | {"bias": expected.get_parameter("bias").item()}


def test_it_is_given_its_batch_where_the_model_is() -> None:
    there = torch.device("meta")
    seen: list[torch.device] = []

    def loss(_: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        seen.extend((batch["x"].device, batch["y"][0].device))
        return batch["x"].mean(), {}

    batch = Batch(2, {"x": torch.ones(2, 3), "y": [torch.ones(2), "text"]})
    measured = OwnLoss(loss).measure(nn.Linear(3, 1).to(there), batch, there)
    assert seen == [there, there]
    assert measured.counted == 2
