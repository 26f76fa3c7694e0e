"""`fedgrass demo` as a user runs it: what it prints, and what it leaves behind, however it ends."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import INSTALLED, Machine
from tests.e2e.shells import LIMIT_S
from tests.paths import ROOT


def test_devices_on_both_nuclei_learn_to_read_digits_and_the_last_line_is_json(machine: Machine) -> None:
    words = ["demo", "--devices", "2", "--rounds", "3", "--nucleus", "mixed", "--json"]
    ran = machine.run(*words, program=INSTALLED)
    assert ran.returncode == 0, ran.stderr
    outcome = json.loads(ran.stdout)["result"]
    assert outcome["accuracy"] > 0.7
    assert outcome["rounds"] == 3
    assert 0 < outcome["overhead_s"] <= outcome["round_s"]
    assert 5 < outcome["idle_agent_mb"] < 70
    assert [figures["accepted"] for figures in outcome["history"]] == [2, 2, 2]
    assert outcome["report"] == "runs/digits-001/report.html"
    assert (machine.home / outcome["report"]).exists()
    assert machine.left_behind() == []


@pytest.mark.parametrize(
    ("moment", "interruption"),
    [
        ("starting the embedded AWS", signal.SIGINT),
        ("registering", signal.SIGTERM),
        ("waiting for", signal.SIGINT),
    ],
)
def test_a_demo_that_is_interrupted_before_its_rounds_says_so_and_leaves_nothing_behind(
    machine: Machine, moment: str, interruption: signal.Signals
) -> None:
    process = machine.start("demo", "--devices", "1", "--rounds", "1000", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(moment):
            break
    process.send_signal(interruption)
    out, error = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert error.splitlines()[-1] == json.loads(out)["error"]["message"]
    assert "everything that was started is stopped" in error
    assert "Traceback" not in error
    assert machine.left_behind() == []


def test_a_killed_demo_leaves_nothing_behind(machine: Machine) -> None:
    process = machine.start("demo", "--devices", "1", "--rounds", "1000", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("round   1"):
            break
    process.kill()
    process.communicate(timeout=LIMIT_S)
    machine.wait_until_nothing_is_left()


def test_a_taken_port_is_named_before_the_task_is_tried_out(machine: Machine, taken_port: int) -> None:
    ran = machine.run("demo", "--port", str(taken_port))
    assert ran.returncode == 2
    assert f"port {taken_port}" in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert machine.left_behind() == []


def test_a_missing_data_directory_is_named(machine: Machine) -> None:
    ran = machine.run("demo", "--data", str(machine.temporary / "nowhere"))
    assert ran.returncode == 2
    assert str(machine.temporary / "nowhere") in ran.stderr.replace("\n", "")
    assert "Traceback" not in ran.stderr


def test_a_task_that_does_not_import_is_named_with_its_line(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("import torch\nimport a_module_that_nobody_has\n")
    (tmp_path / "federation.yaml").write_text(
        "name: broken\ntraining: {epochs: 1, batch_size: 8, learning_rate: 0.1}\n"
    )
    ran = machine.run("demo", str(tmp_path), "--devices", "2")
    assert ran.returncode == 2
    told = ran.stderr.replace("\n", " ")
    assert "task.py" in told
    assert "a_module_that_nobody_has" in told
    assert "task.py:2" in told
    assert "embedded AWS" not in ran.stdout, "it is told before anything is started"
    assert "Traceback" not in ran.stderr
    assert machine.left_behind() == []


def test_a_device_that_cannot_train_is_told_with_its_reason_and_no_model_is_a_failure(
    machine: Machine, tmp_path: Path
) -> None:
    example = (ROOT / "components" / "tasks" / "mnist" / "task.py").read_text()
    (tmp_path / "task.py").write_text(
        f"{example}\n\ndef train(model, data, settings):\n    return {{}} if settings.steps else None\n"
    )
    (tmp_path / "labels [x].json").write_text("[]")
    (tmp_path / "federation.yaml").write_text(
        "name: fruitless\nrounds: 1\ntraining: {epochs: 1, batch_size: 8, learning_rate: 1e-1}\n"
    )
    ran = machine.run("demo", str(tmp_path), "--devices", "2", "--json")
    assert ran.returncode == 1
    reason = "train() of task.py returned NoneType, it has to return dict"
    lines = ran.stderr.splitlines()
    starts = [number for number, text in enumerate(lines) if text.startswith("round   1 aborted: 0 of 2 updates")]
    assert len(starts) == 1, ran.stderr
    (line,) = starts
    assert lines[line + 1 : line + 3] == [f"  device-00{number} failed: {reason}" for number in range(2)]
    assert lines[-1] == "error: no round made a model"
    envelope = json.loads(ran.stdout)
    assert (envelope["ok"], envelope["error"]["code"]) == (False, "no_round_closed")
    (figures,) = envelope["result"]["history"]
    assert figures["failing"] == [
        {"thing": f"device-00{number}", "state": "failed", "reason": reason} for number in range(2)
    ]
    assert machine.left_behind() == []


def test_a_wrong_setting_is_named(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("")
    (tmp_path / "federation.yaml").write_text("name: wrong\ntraining: {epochs: 1, batch_size: 0, learning_rate: 0.1}\n")
    ran = machine.run("demo", str(tmp_path))
    assert ran.returncode == 2
    assert "batch_size" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_make_says_which_python_it_needs() -> None:
    ran = subprocess.run(["make", "setup", "PYTHON=/bin/false"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "fedgrass needs Python 3.11" in ran.stderr
