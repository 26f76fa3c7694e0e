"""sandbox/scoring.py: models are scored, and what keeps one from it is always told."""

from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from components.client.trainer.model.state_dict import dump_model
from sandbox.scoring import Scorer, ScoringError
from tests.components.client.conftest import TASK

LIMIT_S = 60.0


def scorer_of(directory: Path, source: str, limit_s: float = LIMIT_S) -> Scorer:
    (directory / "task.py").write_text(source)
    (directory / "held-out").mkdir()
    return Scorer(directory, directory / "held-out", directory, limit_s=limit_s)


def a_model(directory: Path, bias: float = 0.5) -> Path:
    path = directory / "model.safetensors"
    model = nn.Linear(4, 2)
    with torch.no_grad():
        model.bias.fill_(bias)
    path.write_bytes(dump_model(model, "f"))
    return path


def refusal(directory: Path, source: str) -> str:
    with pytest.raises(ScoringError) as refused, scorer_of(directory, source) as scorer:
        scorer.score(a_model(directory))
    return str(refused.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import sys; sys.exit(3)\n", "task.py cannot be imported: SystemExit: 3"),
        (
            TASK + "def load_data(directory, client):\n    raise OSError('caf\\udce9')\n",
            r"load_data() of task.py: OSError: caf\udce9",
        ),
    ],
)
def test_what_keeps_it_from_scoring_is_told_with_the_first_model(tmp_path: Path, source: str, told: str) -> None:
    assert told in refusal(tmp_path, source)


@pytest.mark.parametrize(
    ("statement", "ending"),
    [
        ("os.abort()", "the process was ended by SIGABRT"),
        ("os._exit(3)", "the process ended with status 3"),
    ],
)
def test_a_process_that_a_task_ends_is_told_with_the_step_and_its_last_words(
    tmp_path: Path, statement: str, ending: str
) -> None:
    body = f"    import os, sys\n    sys.stderr.write('last words')\n    sys.stderr.flush()\n    {statement}\n"
    source = TASK + "load_it = load_data\ndef load_data(directory, client):\n" + body
    assert refusal(tmp_path, source) == f"load_data() of task.py: {ending}; its output was:\nlast words"


def test_a_step_that_does_not_end_is_named_and_its_process_ended(tmp_path: Path) -> None:
    body = f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n    time.sleep(1000)\n"
    source = TASK + f"import os, pathlib, time\ndef build_model():\n{body}"
    told = r"build_model\(\) of task\.py has taken longer than 10 s"
    with pytest.raises(ScoringError, match=told), scorer_of(tmp_path, source, limit_s=10.0) as scorer:
        scorer.score(a_model(tmp_path))
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_models_are_scored_and_an_error_of_evaluate_is_told_and_ends_nothing(tmp_path: Path) -> None:
    source = TASK + (
        "def evaluate(model, data):\n"
        "    print('not an answer')\n"
        "    if model.bias[0] > 1: raise ValueError('[too large]')\n"
        "    return {'bias': model.bias[0].item()}\n"
    )
    with scorer_of(tmp_path, source) as scorer:
        for bias in (0.5, 2.0, 0.25):
            path = a_model(tmp_path, bias)
            if bias > 1:
                with pytest.raises(ScoringError, match=r"evaluate\(\) of task\.py: ValueError: \[too large\]"):
                    scorer.score(path)
            else:
                assert scorer.score(path) == {"bias": bias}


def test_held_out_data_without_a_test_part_is_all_scored_on(tmp_path: Path) -> None:
    body = "    return Data(train=[(torch.zeros(4), n % 2) for n in range(3 if directory.name == 'held-out' else 5)])\n"
    source = TASK + f"import torch\nfrom fedgrass.task import Data\ndef load_data(directory, client):\n{body}"
    source += "def evaluate(model, data):\n    return {'examples': len(data.test)}\n"
    path = tmp_path / "model.safetensors"
    path.write_bytes(dump_model(nn.Linear(4, 2), "f"))
    with scorer_of(tmp_path, source) as scorer:
        assert scorer.score(path) == {"examples": 3}


def test_a_process_that_ends_while_it_scores_is_told_with_its_step(tmp_path: Path) -> None:
    source = TASK + "def evaluate(model, data):\n    import os\n    os._exit(4)\n"
    path = a_model(tmp_path)
    with scorer_of(tmp_path, source) as scorer:
        with pytest.raises(ScoringError, match=r"^evaluate\(\) of task\.py: the process ended with status 4$"):
            scorer.score(path)
        with pytest.raises(ScoringError, match="the process ended with status 4"):
            scorer.score(path)  # it is told again, and never only that it has ended
