"""sandbox/scoring.py: a task is tried out before anything is started, and what is wrong with it is always told."""

from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from components.client.trainer.model.state_dict import dump_model
from sandbox.scoring import Scorer, ScoringError
from tests.components.client.conftest import TASK

LIMIT_S = 60.0


def entered(directory: Path, source: str, limit_s: float = LIMIT_S) -> Scorer:
    (directory / "task.py").write_text(source)
    (directory / "device").mkdir()
    (directory / "held-out").mkdir()
    return Scorer(directory, directory / "device", directory / "held-out", directory, limit_s=limit_s)


def refusal(directory: Path, source: str, limit_s: float = LIMIT_S) -> str:
    scorer = entered(directory, source, limit_s)
    with pytest.raises(ScoringError) as refused, scorer:
        pytest.fail("the task was taken")
    return str(refused.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import no_such_module\n",
            "task.py cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("import sys; sys.exit(3)\n", "task.py cannot be imported: SystemExit: 3"),
        (TASK.replace("return nn.Linear(4, 2)", "return 1 / 0"), "build_model() of task.py: ZeroDivisionError"),
        (
            TASK.replace("def load_data(directory, client):", "def load_data(directory, client):\n    client.color"),
            "load_data() of task.py: AttributeError: 'Client' object has no attribute 'color'",
        ),
        (
            TASK.replace("return nn.Linear(4, 2)", "return nn.Linear(5, 2)"),
            "does not take the first training example",
        ),
        (
            TASK + "def load_data(directory, client):\n    raise OSError('caf\\udce9')\n",
            r"load_data() of task.py: OSError: caf\udce9",
        ),
        (
            TASK.replace("return nn.Linear(4, 2)", "raise ValueError('\\ud800\\nx')"),
            "build_model() of task.py: ValueError: \\ud800",
        ),
    ],
)
def test_a_mistake_in_the_task_is_told_before_the_block_begins(tmp_path: Path, source: str, told: str) -> None:
    assert told in refusal(tmp_path, source)


@pytest.mark.parametrize(
    ("statement", "ending"),
    [
        ("os.abort()", "the process was ended by SIGABRT"),
        ("os._exit(3)", "the process ended with status 3"),
        ("os.kill(os.getpid(), 9)", "the process was ended by SIGKILL"),
    ],
)
def test_a_process_that_a_task_ends_is_told_with_the_step_and_its_last_words(
    tmp_path: Path, statement: str, ending: str
) -> None:
    body = f"    import os, sys\n    sys.stderr.write('last words')\n    sys.stderr.flush()\n    {statement}\n"
    source = TASK + "load_it = load_data\ndef load_data(directory, client):\n" + body
    assert refusal(tmp_path, source) == f"load_data() of task.py: {ending}; its output was:\nlast words"


def test_a_step_that_does_not_end_is_named(tmp_path: Path) -> None:
    source = TASK + "def build_model():\n    while True: pass\n"
    scorer = entered(tmp_path, source, limit_s=30.0)
    with pytest.raises(ScoringError, match=r"build_model\(\) of task\.py has taken longer than 30 s"), scorer:
        pytest.fail("the task was taken")
    assert not any(str(tmp_path) in part for each in psutil.process_iter() for part in _command(each))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_models_are_scored_and_an_error_of_evaluate_is_told_and_ends_nothing(tmp_path: Path) -> None:
    source = TASK + (
        "def evaluate(model, data):\n"
        "    print('not an answer')\n"
        "    if model.bias[0] > 1: raise ValueError('[too large]')\n"
        "    return {'bias': model.bias[0].item()}\n"
    )
    path = tmp_path / "model.safetensors"
    with entered(tmp_path, source) as scorer:
        for bias in (0.5, 2.0, 0.25):
            model = nn.Linear(4, 2)
            with torch.no_grad():
                model.bias.fill_(bias)
            path.write_bytes(dump_model(model, "f"))
            if bias > 1:
                with pytest.raises(ScoringError, match=r"evaluate\(\) of task\.py: ValueError: \[too large\]"):
                    scorer.score(path)
            else:
                assert scorer.score(path) == {"bias": bias}


def test_a_process_that_ends_while_it_scores_is_told_with_its_step(tmp_path: Path) -> None:
    source = TASK + "def evaluate(model, data):\n    import os\n    os._exit(4)\n"
    path = tmp_path / "model.safetensors"
    path.write_bytes(dump_model(nn.Linear(4, 2), "f"))
    with entered(tmp_path, source) as scorer:
        with pytest.raises(ScoringError, match=r"^evaluate\(\) of task\.py: the process ended with status 4$"):
            scorer.score(path)
        with pytest.raises(ScoringError, match="the process ended with status 4"):
            scorer.score(path)  # it is told again, and never only that it has ended
