"""reporting/tracking.py: experiment trackers are told of rounds, and stand in no run's way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reporting import tracking
from reporting.records import RoundLine
from reporting.tracking import MissingTrackerError, check_installed
from reporting.tracking_process import TrackerName, values_of
from tests.paths import ROOT
from tests.reporting.examples import SETTINGS, add, answered, create, ended
from tests.reporting.trackers import MLFLOW, TENSORBOARD, WANDB, calls, installed

TRACKED = """
import sys
from pathlib import Path
from reporting.run_writer import RunWriter
from reporting.tracking import tracking
from tests.reporting.examples import SETTINGS, answered, create, ended, resume
path = Path(sys.argv[2])
writer = resume(path) if path.exists() else create(path)
with writer, tracking(sys.argv[1], path, writer.summary, SETTINGS, lambda text: print("warning:", text)) as tell:
    for number in (writer.last_round + 1, writer.last_round + 2):
        record = ended(number)
        tell(writer.add_round(record, answered(record), held_out={"loss": 0.5, "bad": None}))
print("rounds:", writer.last_round)
"""


def run(tmp_path: Path, name: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", TRACKED, name, str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "CALLS": str(tmp_path / "calls")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(("name", "source"), [("mlflow", MLFLOW), ("wandb", WANDB), ("tensorboard", TENSORBOARD)])
def test_a_tracker_is_told_of_each_round_also_of_a_run_that_goes_on(tmp_path: Path, name: str, source: str) -> None:
    installed(tmp_path, name, source)
    assert run(tmp_path, name).stdout == "rounds: 2\n"
    assert run(tmp_path, name).stdout == "rounds: 4\n"
    made = calls(tmp_path)
    loss = [(call[2], call[1]["held_out_loss"]) for call in made if call[0] == "metrics" and "held_out_loss" in call[1]]
    assert loss == [(number, 0.5) for number in (1, 2, 3, 4)]
    assert made[-1] == ["end"]
    assert not any("held_out_bad" in call[1] for call in made if call[0] == "metrics")
    starts = [call[1] for call in made if call[0] == "start"]
    if name == "mlflow":
        assert starts[1] == {"run_id": "r1"}
        (params,) = (call[1] for call in made if call[0] == "params")
        assert params["training.learning_rate"] == 0.1
    elif name == "wandb":
        assert starts[0]["id"] == starts[1]["id"]
        assert (starts[0]["project"], starts[0]["resume"]) == ("f", "allow")
    else:
        assert starts == [str(tmp_path / "run" / "tensorboard")] * 2


@pytest.mark.parametrize("fault", ["raise RuntimeError('no server')", "raise SystemExit(3)", "import no_such_module"])
def test_a_tracker_that_fails_stops_no_run_and_is_told_of_once(tmp_path: Path, fault: str) -> None:
    installed(tmp_path, "wandb", f"def init(**given):\n    {fault}\n")
    found = run(tmp_path, "wandb")
    warning, rounds = found.stdout.splitlines()
    assert warning.startswith("warning: wandb was not told of all rounds: ")
    assert rounds == "rounds: 2"


@pytest.mark.parametrize("what", ["threading.Event().wait()", "input('your password: ')", "os.kill(os.getpid(), 9)"])
def test_a_tracker_that_waits_for_ever_asks_or_is_killed_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(tracking, "END_LIMIT_S", 2.0)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    installed(tmp_path, "wandb", f"import threading\ndef init(**given): {what}\n")
    warnings: list[str] = []
    with create(tmp_path / "run") as writer:
        with tracking.tracking("wandb", tmp_path, writer.summary, SETTINGS, warnings.append) as tell:
            for number in range(1, 300):  # more than a pipe holds
                record = ended(number)
                line = writer.add_round(record, answered(record))
                assert line is not None
                tell(line)
        add(writer, 300)
    (warning,) = warnings
    assert warning.startswith("wandb ")


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_told_with_what_installs_it(
    name: TrackerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MissingTrackerError, match=f"pip install {name}"):
        check_installed(name)
    check_installed(None)


def test_names_that_clients_made_up_are_ones_that_trackers_take() -> None:
    line = RoundLine(
        round=1,
        status="closed",
        opened_at=0.0,
        ended_at=1.0,
        round_s=1.0,
        cohort=1,
        target=1,
        quorum=1,
        learning_rate=0.1,
        model_sha256="a" * 64,
        metrics={"../../etc_after": 1.0, "Größe $%_before": 2.0, "nan_after": None},
    )
    found = values_of(line)
    assert found["______etc_after"] == 1.0
    assert found["Größe ___before"] == 2.0
    assert "nan_after" not in found
