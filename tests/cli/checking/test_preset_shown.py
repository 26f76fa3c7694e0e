"""A check shows what the fields of a preset have come to."""

from pathlib import Path

from benchmarks.newcomer_mistakes.mistake import Mistake, write
from cli.checking.checks import check_by
from cli.checking.clients import clients_of
from cli.checking.report import summary
from cli.checking.trial_here import TrialHere

SETTINGS = """name: shapes
preset: label-skew
training:
  epochs: 2
averaging:
  ema: 0.5
"""


def test_a_check_shows_what_a_preset_has_come_to(here: TrialHere, tmp_path: Path) -> None:
    project, data = write(Mistake("none", {"federation.yaml": SETTINGS}, ()), tmp_path / "folder")
    checked = check_by(
        here, project, lambda read, scratch: clients_of(read, data, scratch), lambda _: None, lambda _: None
    )
    assert not checked.errors
    assert checked.told()["preset"] == {
        "training.batch_size": 64,
        "training.learning_rate": 0.2,
        "selection.cohort": 40,
        "averaging.optimizer": {"name": "fedavgm", "beta": 0.9, "learning_rate": 1.0},
        "averaging.ema": 0.5,
    }
    (line,) = (line for line in summary(checked) if line.startswith("with its preset: "))
    assert "training.learning_rate 0.2, selection.cohort 40, averaging.optimizer {name: fedavgm, beta: 0.9" in line
