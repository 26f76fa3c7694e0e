import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from components.client.trainer.model.state_dict import DivergedError
from components.client.trainer.task.loading import Task, TaskError, load_task
from fedgrass.task import Client, Data, DeviceState, Training
from tests.components.client.conftest import TASK

CLIENT = Client(thing="t", federation="f")
SETTINGS = Training(batch_size=8, learning_rate=0.1)
DEVICE = DeviceState(
    local_time=datetime.now(UTC), load=0.0, cpu_count=1, memory_available_bytes=1, disk_available_bytes=1
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("task", None)


def task_of(directory: Path, source: str) -> Task:
    (directory / "task.py").write_text(source)
    return load_task(directory)


def data() -> Data:
    examples = TensorDataset(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
    return Data(examples, examples)


def test_a_task_is_loaded_from_a_directory_or_a_zip_file_with_its_siblings(tmp_path: Path) -> None:
    source = TASK.replace("nn.Linear(4, 2)", "sizes.layer()").replace("import torch\n", "import sizes\nimport torch\n")
    sibling = "from torch import nn\ndef layer(): return nn.Linear(4, 2)\n"
    (tmp_path / "sizes.py").write_text(sibling)
    assert isinstance(task_of(tmp_path, source).build_model(), nn.Linear)
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as packed:
        packed.writestr("task.py", source.replace("layer", "other"))
        packed.writestr("sizes.py", sibling.replace("layer", "other"))
    sys.modules.pop("sizes")
    task = load_task(tmp_path / "task.zip")
    assert isinstance(task.build_model(), nn.Linear)
    assert task.load_data(tmp_path, CLIENT).examples == 32


def test_a_task_that_is_changed_within_a_second_is_loaded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it says, not by a file's time and length, which are all that Python compares. Nothing is left there."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "helper.py").write_text("")
    for features in (4, 5):
        (tmp_path / "task.py").write_text(
            "import helper\n" + TASK.replace("nn.Linear(4, 2)", f"nn.Linear({features}, 2)")
        )
        os.utime(tmp_path / "task.py", (1_000_000_000, 1_000_000_000))
        model = load_task(tmp_path).build_model()
        assert isinstance(model, nn.Linear)
        assert model.in_features == features
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper.py", "task.py"]
    assert not sys.dont_write_bytecode


def test_functions_that_a_task_does_not_have_are_the_defaults(tmp_path: Path) -> None:
    task = task_of(tmp_path, TASK)
    model = task.build_model()
    assert task.train(model, data(), SETTINGS)["steps"] == 1
    assert set(task.evaluate(model, data())) == {"loss", "accuracy"}
    assert task.describe(model, data()) == {}
    assert task.ready(DEVICE)


def test_functions_that_a_task_has_are_called(tmp_path: Path) -> None:
    source = TASK + (
        "def train(model, data, settings): return {'batch': settings.batch_size}\n"
        "def evaluate(model, data): return {'score': torch.tensor(0.5)}\n"
        "def describe(model, data): return {'examples': data.examples}\n"
        "def ready(device): return device.cpu_count > 1\n"
    )
    task = task_of(tmp_path, source)
    model = task.build_model()
    assert task.train(model, data(), SETTINGS) == {"batch": 8.0}
    assert task.evaluate(model, data()) == {"score": 0.5}
    assert task.describe(model, data()) == {"examples": 8.0}
    assert not task.ready(DEVICE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def load_data(directory, client): ...", r"task.py has no function build_model\(\)"),
        ("def build_model(): ...", r"task.py has no function load_data\(\)"),
        (
            "import numpy\nimport no_such_module",
            r"ModuleNotFoundError: No module named 'no_such_module' \(task.py, line 2\)",
        ),
        ("x = 1\ndef broken(:\n", r"SyntaxError: .* \(task.py, line 2\)"),
        ("\n\n1 / 0", r"cannot be imported: ZeroDivisionError: division by zero \(task.py, line 3\)"),
    ],
)
def test_a_task_that_cannot_be_loaded_is_explained(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task_of(tmp_path, source)


def test_a_missing_task_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"holds no task\.py"):
        load_task(tmp_path)
    with pytest.raises(TaskError, match="does not exist"):
        load_task(tmp_path / "task.zip")


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ("return nn.Linear(4, 2)", "return 7", r"build_model\(\) of task.py returned int, it has to return Module"),
        ("return nn.Linear(4, 2)", "pass", "returned NoneType"),
        (
            "return nn.Linear(4, 2)",
            "raise OSError('disk')",
            r"build_model\(\) of task.py: OSError: disk \(task.py, line",
        ),
    ],
)
def test_a_function_that_does_not_do_its_part_is_named(tmp_path: Path, replaced: str, by: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task_of(tmp_path, TASK.replace(replaced, by)).build_model()


def test_data_without_examples_is_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, TASK.replace("inputs[:32], targets[:32]", "inputs[:0], targets[:0]"))
    with pytest.raises(TaskError, match="found no training examples"):
        task.load_data(tmp_path, CLIENT)


def test_metrics_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, TASK + "def evaluate(model, data): return {'loss': 'low'}\n")
    with pytest.raises(TaskError, match=r"evaluate\(\) of task.py has to return numbers by name"):
        task.evaluate(task.build_model(), data())


@pytest.mark.parametrize("loss", ["float('nan')", "torch.tensor(float('inf'))"])
def test_a_training_of_ones_own_that_returns_no_finite_loss_has_diverged(tmp_path: Path, loss: str) -> None:
    task = task_of(tmp_path, TASK + f"def train(model, data, settings): return {{'loss': {loss}}}\n")
    with pytest.raises(DivergedError, match=r"training diverged: train\(\) of task.py returned the loss (nan|inf)"):
        task.train(task.build_model(), data(), SETTINGS)


def test_an_example_that_the_model_does_not_take_is_named_with_its_shape(tmp_path: Path) -> None:
    task = task_of(tmp_path, TASK)
    wide = Data(TensorDataset(torch.randn(8, 5), torch.zeros(8, dtype=torch.long)))
    task.validate(task.build_model(), data())
    with pytest.raises(
        TaskError, match=r"does not take the first training example, \[5\] \(torch.float32\) with target 0"
    ):
        task.validate(task.build_model(), wide)


def test_a_class_that_the_model_does_not_have_is_found_in_the_test_set_too(tmp_path: Path) -> None:
    task = task_of(tmp_path, TASK)
    train = TensorDataset(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
    test = TensorDataset(torch.randn(8, 4), torch.full((8,), 7))
    with pytest.raises(TaskError, match="first test example"):
        task.validate(task.build_model(), Data(train, test))


def test_a_task_checks_its_data_by_its_own_rules(tmp_path: Path) -> None:
    own = "def validate(model, data):\n    if data.examples < 100: raise ValueError(f'only {data.examples} examples')\n"
    task = task_of(tmp_path, TASK + own)
    with pytest.raises(TaskError, match=r"validate\(\) of task.py: ValueError: only 8 examples"):
        task.validate(task.build_model(), data())


def test_a_task_with_a_training_of_its_own_may_have_any_data(tmp_path: Path) -> None:
    task = task_of(tmp_path, TASK + "def train(model, data, settings): return {}\n")
    task.validate(task.build_model(), Data(["text"]))  # type: ignore[arg-type]


def test_the_digest_of_a_task_is_that_of_all_its_code(tmp_path: Path) -> None:
    digests = {task_of(tmp_path, TASK).sha256}
    assert task_of(tmp_path, TASK).sha256 in digests
    (tmp_path / "data.bin").write_bytes(b"1")
    assert task_of(tmp_path, TASK).sha256 in digests
    (tmp_path / "other.py").write_text("x = 1\n")
    digests.add(task_of(tmp_path, TASK).sha256)
    (tmp_path / "other.py").write_text("x = 2\n")
    digests.add(task_of(tmp_path, TASK).sha256)
    digests.add(task_of(tmp_path, TASK + "\n").sha256)
    assert len(digests) == 4


STRANGE = """
class Strange:
    def __init__(self, error): self.error = error
    def __float__(self): raise self.error
    def __len__(self): raise self.error
    def __repr__(self): raise self.error
    def __getitem__(self, index): raise self.error

def evaluate(model, data): return {"loss": Strange(ERROR)}
def train(model, data, settings): return {Strange(ERROR): 1.0}
def describe(model, data): return {"x": Strange(ERROR)}
def ready(device): return Strange(ERROR)
def load_data(directory, client): return Data(Strange(ERROR))
"""


@pytest.mark.parametrize("error", ["KeyError('x')", "ZeroDivisionError()", "NotImplementedError()", "SystemExit(3)"])
def test_an_object_that_raises_when_it_is_looked_at_is_blamed_on_the_function_that_gave_it(
    tmp_path: Path, error: str
) -> None:
    task = task_of(tmp_path, TASK + STRANGE.replace("ERROR", error))
    model = nn.Linear(4, 2)
    for name, arguments in (
        ("load_data", (tmp_path, CLIENT)),
        ("ready", (DEVICE,)),
        ("evaluate", (model, data())),
        ("train", (model, data(), SETTINGS)),
        ("describe", (model, data())),
    ):
        with pytest.raises(TaskError, match=rf"^{name}\(\) of task.py"):
            getattr(task, name)(*arguments)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def build_model(size): ...\n", r"build_model\(size\) of task.py can't be called as build_model\(\): missing"),
        ("def load_data(directory): ...\n", r"can't be called as load_data\(directory, client\): too many positional"),
        (
            "def train(model, data): ...\n",
            r"train\(model, data\) of task.py can't be called as train\(model, data, sett",
        ),
        ("def loss(outputs, targets, model): ...\n", r"can't be called as loss\(model, batch\): missing"),
        ("def parameters(): ...\n", r"can't be called as parameters\(model\)"),
        ("def ready(): ...\n", r"can't be called as ready\(device\)"),
        ("def describe(model, *, data): ...\n", r"can't be called as describe\(model, data\)"),
        ("loss = 0.5\n", r"loss of task.py is float: it has to be a function loss\(model, batch\), or have another"),
        ("parameters = ['weight']\n", r"parameters of task.py is list: it has to be a function parameters\(model\)"),
    ],
)
def test_a_function_that_cannot_be_called_as_it_will_be_is_named(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task_of(tmp_path, TASK + source)


@pytest.mark.parametrize(
    "source",
    [
        "loss = nn.MSELoss()\n",
        "def train(*given, **named): ...\n",
        "def ready(device, limit=3): ...\n",
        "ready = bool\n",
    ],
)
def test_a_function_may_take_more_than_it_is_given(tmp_path: Path, source: str) -> None:
    task_of(tmp_path, TASK + source)


def test_the_defaults_are_those_of_the_task_that_was_loaded_and_need_one(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom fedgrass.task import Data, default_train\nassert 'torch' not in sys.modules\n"
        "default_train(None, Data([]), None)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "NotLoadedError: default_train() and default_evaluate() are there in a task that was loaded" in ended.stderr


def test_a_package_that_is_not_there_is_told_with_where_to_list_it(tmp_path: Path) -> None:
    remedy = r"\(task.py, line \d+\); a package that devices lack goes into requirements.txt beside task.py$"
    with pytest.raises(TaskError, match=rf"task.py cannot be imported: ModuleNotFoundError: .* 'no_such' {remedy}"):
        task_of(tmp_path, f"import no_such\n{TASK}")
    task = task_of(tmp_path, TASK.replace("    return nn.Linear", "    import no_such.part\n    return nn.Linear"))
    with pytest.raises(TaskError, match=rf"build_model\(\) of task.py: ModuleNotFoundError: .* {remedy}"):
        task.build_model()
