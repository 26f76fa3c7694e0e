"""The place of an error is the task's own line, whoever raised it, and whichever way it came."""

import linecache
import logging
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import nn

from components.client.trainer.task.loading import Task, TaskError, load_task

TaskOf = Callable[..., Task]

HEAD = """import torch
from torch import nn
import helper
def load_data(directory, client): ...
def build_model():
"""

REMEDY = "; a package that devices lack goes into requirements.txt beside task.py"


@pytest.fixture(params=["folder", "zip", "folder with an environment in it"])
def task_of(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TaskOf]:
    """The task whose build_model() has this body, from its sixth line on, with helper.py, in a folder or a zip file."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path.append(str(tmp_path / "site-packages"))

    def write(body: str, helper: str = "", **more: str) -> Task:
        files = {"task.py": HEAD + "".join(f"    {line}\n" for line in body.splitlines()), "helper.py": helper}
        files |= {f"{name}.py": source for name, source in more.items()}
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "task.zip", "w") as packed:
                for name, source in files.items():
                    packed.writestr(name, source)
            return load_task(tmp_path / "task.zip")
        for name, source in files.items():
            (tmp_path / name).write_text(source)
        return load_task(tmp_path)

    library = tmp_path / "site-packages"  # as of a virtual environment in the task's folder
    library.mkdir()
    (library / "a_library.py").write_text(LIBRARY)
    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


LIBRARY = """
class LibraryError(Exception): pass
def fail(): raise LibraryError("gone")
def call(function):
    try:
        return function()
    except ValueError as error:
        raise LibraryError("the callback failed") from error
def call_without_a_word(function):
    try:
        return function()
    except ValueError:
        raise LibraryError("the callback failed") from None
"""


LOADS = """from torch.utils.data import DataLoader
from helper import Numbers
list(DataLoader(Numbers(), 2, num_workers=1))
"""
NUMBERS = "class Numbers:\n    def __len__(self): return 4\n    def __getitem__(self, index):\n"
GROUP = """errors = []
for number in range(3):
    try:
        raise ValueError(number)
    except ValueError as error:
        errors.append(error)
raise ExceptionGroup('all', errors)
"""


def told(run: Callable[[], object]) -> str:
    with pytest.raises(TaskError) as raised:
        run()
    return str(raised.value)


@pytest.mark.parametrize(
    ("body", "helper", "expected"),
    [
        ("1 / 0", "", "ZeroDivisionError: division by zero (task.py, line 6)"),
        ("nn.Linear(2, 2)(torch.ones(3))", "", "RuntimeError: .* (task.py, line 6)"),
        ("import a_library\na_library.fail()", "", "LibraryError: gone (task.py, line 7)"),
        ("helper.fail()", "\n\ndef fail():\n    raise ValueError('bad')\n", "ValueError: bad (helper.py, line 4)"),
        (
            "class Model(nn.Module):\n    def forward(self, x):\n        return x['a']\nnn.Sequential(Model())({})",
            "",
            "KeyError: 'a' (task.py, line 8)",
        ),
        (
            "import a_library\ndef callback():\n    raise ValueError('bad')\na_library.call(callback)",
            "",
            "LibraryError: the callback failed (task.py, line 9), from ValueError: bad (task.py, line 8)",
        ),
        (
            "import a_library\ndef callback():\n    raise ValueError('bad')\na_library.call_without_a_word(callback)",
            "",
            "LibraryError: the callback failed (task.py, line 9)",
        ),
        (
            "try:\n    {}['x']\nexcept KeyError as error:\n    raise ValueError('no x') from error",
            "",
            "ValueError: no x (task.py, line 9), from KeyError: 'x' (task.py, line 7)",
        ),
        (
            "try:\n    {}['x']\nexcept KeyError as error:\n    raise ValueError(f'no {error}') from error",
            "",
            "ValueError: no 'x' (task.py, line 9)",
        ),
        (
            GROUP,
            "",
            "ExceptionGroup: all, 3 in all, the first one ValueError: 0 (task.py, line 9)",
        ),
        (
            LOADS,
            f"{NUMBERS}        raise ValueError(f'bad {{index}}')\n",
            "ValueError: bad 0 (helper.py, line 4)",
        ),
        (
            LOADS,
            f"{NUMBERS}        try: {{}}['x']\n        except KeyError: raise OSError(2, 'gone', 'x.png')\n",
            "FileNotFoundError: [Errno 2] gone: 'x.png' (helper.py, line 5)",
        ),
        (
            "import multiprocessing\nmultiprocessing.get_context('fork').Pool(1).map(helper.fail, [1])",
            "def fail(number):\n    raise ValueError(number)\n",
            "ValueError: 1 (helper.py, line 2)",
        ),
        ("import broken", "", "SyntaxError: .* (broken.py, line 2)"),
        ("import tabs", "", "TabError: .* (tabs.py, line 4)"),
        ("import needs", "", f"ModuleNotFoundError: No module named 'no_such_module' (needs.py, line 1){REMEDY}"),
        ("exec('1 +')", "", "SyntaxError: .* (task.py, line 6)"),
        ("class Bad(Exception):\n    def __str__(self): 1 / 0\nraise Bad", "", "Bad: <its text .* (task.py, line 8)"),
        ("import sys\nsys.exit('enough')", "", "SystemExit: enough (task.py, line 7)"),
        ("build_model()", "", "RecursionError: .* (task.py, line 6)"),
    ],
)
def test_an_error_is_told_with_the_line_of_the_task(task_of: TaskOf, body: str, helper: str, expected: str) -> None:
    more = {
        "broken": "x = 1\nx +\n",
        "tabs": "if 1:\n    if 1:\n        x = 1\n\ty = 1\n",
        "needs": "import no_such_module\n",
    }
    task = task_of(body, helper, **more)
    pattern = "build_model\\(\\) of task.py: " + ".*".join(re.escape(part) for part in expected.split(".*"))
    assert re.fullmatch(pattern, told(task.build_model))


@pytest.mark.parametrize(
    ("helper", "expected"),
    [
        ("x = (\n", "SyntaxError: '(' was never closed (helper.py, line 1)"),
        (
            "\nimport no_such_module\n",
            f"ModuleNotFoundError: No module named 'no_such_module' (helper.py, line 2){REMEDY}",
        ),
        ("from task import nothing\n", "ImportError: cannot import name 'nothing' from .* (helper.py, line 1)"),
        ("\n\n1 / 0\n", "ZeroDivisionError: division by zero (helper.py, line 3)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (helper.py, line 2)"),
    ],
)
def test_a_module_beside_the_task_that_cannot_be_imported_is_named(task_of: TaskOf, helper: str, expected: str) -> None:
    pattern = "task.py cannot be imported: " + ".*".join(re.escape(part) for part in expected.split(".*"))
    assert re.fullmatch(pattern, told(lambda: task_of("return 1", helper)))


def test_the_trace_in_the_log_has_the_lines_of_the_task(task_of: TaskOf, caplog: pytest.LogCaptureFixture) -> None:
    task = task_of("helper.fail()  # the task's own", "def fail():\n    raise ValueError('bad')  # the helper's own\n")
    try:
        task.build_model()
    except TaskError:
        logging.getLogger("components").exception("the round failed")
    assert "helper.fail()  # the task's own" in caplog.text
    assert "raise ValueError('bad')  # the helper's own" in caplog.text


def test_the_trace_of_a_task_that_took_the_place_of_another_has_its_own_lines(
    task_of: TaskOf, caplog: pytest.LogCaptureFixture
) -> None:
    for body in ("raise ValueError('bad')  # the first", "x = 1\nraise ValueError('bad')  # the second"):
        task = task_of(body)
        try:
            task.build_model()
        except TaskError:
            logging.getLogger("components").exception("the round failed")
    assert caplog.text.count("# the first") == 1
    assert caplog.text.count("# the second") == 1
    linecache.clearcache()


def test_an_error_of_no_line_of_the_task_has_no_place(task_of: TaskOf) -> None:
    model = nn.Linear(2, 2)
    reason = told(lambda: task_of("return 1").train(model, None, None))  # type: ignore[arg-type]
    assert reason == "train() of task.py: AttributeError: 'NoneType' object has no attribute 'train'"


def test_a_text_of_any_length_is_told_shortened_and_with_its_place(task_of: TaskOf) -> None:
    with pytest.raises(TaskError) as told:
        task_of("raise ValueError('x' * 100_000)").build_model(0)
    assert len(str(told.value)) < 3000
    assert str(told.value).startswith("build_model() of task.py: ValueError: xxx")
    assert str(told.value).endswith("(task.py, line 6)")
