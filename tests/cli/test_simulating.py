"""`fedgrass simulate`, as a user gives it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reporting.records import MODEL, TORCH_MODEL
from reporting.run_folder import RunFolder
from tests.paths import ROOT
from tests.reporting.pictures.pages import parsed
from tests.reporting.trackers import WANDB, calls, installed
from tests.simulation.federations import TASK

SETTINGS = {
    "name": "small",
    "rounds": 30,
    "training": {"epochs": 3, "batch_size": 4, "learning_rate": 0.02},
    "selection": {"policy": "random", "cohort": 4},
    "encoding": "int8",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a task and settings; and beside it data, a held-out part among it."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name in ("clients/c0", "clients/c1", "clients/c2", "clients/c3", "clients/c4", "holdout"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "examples.txt").write_text("30")
        (tmp_path / "data" / name / "does.txt").write_text("well")
    (folder / "task.py").write_text(TASK)
    (folder / "federation.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder


def start(project: Path, *words: object) -> "subprocess.Popen[str]":
    data = project.parent / "data"
    command = [sys.executable, "-m", "cli.main", "simulate", str(project), "--data", str(data), *map(str, words)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def run(project: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    process = start(project, *words)
    out, error = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def after_rounds(process: "subprocess.Popen[str]", rounds: int) -> None:
    """Return when it has said that so many rounds have ended."""
    assert process.stdout is not None
    if not any(f"round {rounds} of" in line for line in process.stdout):
        raise AssertionError(process.communicate())


@pytest.fixture
def whole(project: Path, tmp_path: Path) -> Iterator[RunFolder]:
    """The run without an interruption."""
    ran = run(project, "--out", tmp_path / "whole")
    assert ran.returncode == 0, ran.stderr
    yield RunFolder(tmp_path / "whole")


@pytest.mark.timeout(400)
def test_a_run_that_was_killed_and_one_that_was_interrupted_go_on_with_the_same_bits(
    project: Path, tmp_path: Path, whole: RunFolder
) -> None:
    assert whole.summary.status == "finished"
    assert whole.summary.metrics.held_out["accuracy"].last.round == 30
    out = tmp_path / "stopped"
    with start(project, "--out", out) as process:
        after_rounds(process, 3)
        process.kill()
    with start(project, "--out", out, "--resume") as process:
        after_rounds(process, 8)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"to go on, add --out {out} --resume to the command" in error
    stopped = RunFolder(out)
    assert stopped.summary.status == "interrupted"
    assert (stopped.path / MODEL).exists()
    assert (stopped.path / TORCH_MODEL).exists()
    ran = run(project, "--out", out, "--resume", "--json", "--backend", "loop")
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert (answer["ok"], answer["result"]["run"], answer["result"]["summary"]["rounds"]) == (True, str(out), 30)
    assert list(RunFolder(out).rounds()) == list(whole.rounds())
    assert list(RunFolder(out).clients()) == list(whole.clients())
    assert (out / MODEL).read_bytes() == (whole.path / MODEL).read_bytes()


PRINTS = """
import os, sys
os.write(1, b"\\xff\\xfe raw bytes\\n" * 1000)
print('{"v": 1, "fake": true}', file=sys.__stdout__)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["loop", "processes"])
def test_with_json_there_is_one_line_whatever_a_task_writes_to_standard_output(
    project: Path, tmp_path: Path, backend: str
) -> None:
    (project / "task.py").write_text(TASK + PRINTS)
    process = start(project, "--rounds", 1, "--out", tmp_path / "out", "--json", "--backend", backend)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    (line,) = out.splitlines()
    assert json.loads(line)["command"] == "simulate"
    assert "raw bytes" in error
    assert '"fake": true' in error


@pytest.mark.timeout(300)
def test_a_simulation_says_each_round_and_what_is_set_and_why_clients_have_failed(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "clients" / "c1" / "does.txt").write_text("fails")
    devices = tmp_path / "devices.jsonl"
    devices.write_text('{"client": "*", "examples_per_s": 45}\n')
    given = ["--rounds", 2, "--set", "selection.policy=all", "--set", "selection.cohort=100%", "--devices", devices]
    given += ["--set", "averaging.ema=0.5"]
    ran = run(project, *given, "--out", tmp_path / "out", "--evaluate-every", 2)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "simulating small with 5 clients"
    assert "round 1 of 2" in lines[1]
    assert "4 of 5 clients   2.0 s simulated" in lines[1]
    assert lines[2].startswith("  1 client failed: train() of task.py: ValueError: the sensor is wet")
    out = tmp_path / "out"
    assert lines[-2:] == [f"run folder    {out}", f"report        {out}/report.html"]
    assert any(line.startswith(f"model         {out}/model.safetensors, of round 2, ") for line in lines)
    assert any(line.startswith("time          simulated ") for line in lines)
    page = parsed((out / "report.html").read_text())
    _, *wrong = page.section("failures").table("What went wrong, the most frequent first")
    told = [reason for what, reason, _, devices, _ in wrong if (what, devices) == ("the device failed", "c1")]
    assert told
    assert all(reason.startswith("train() of task.py: ValueError: the sensor is wet") for reason in told)
    first, second = RunFolder(tmp_path / "out").rounds()
    assert first.held_out == {}
    assert set(second.held_out) == {"accuracy", "loss", "ema_accuracy", "ema_loss"}
    assert second.held_out["ema_loss"] != second.held_out["loss"]


@pytest.mark.timeout(300)
def test_a_simulation_without_any_new_model_fails_and_says_why(project: Path, tmp_path: Path) -> None:
    for thing in ("c1", "c2", "c3", "c4"):
        (tmp_path / "data" / "clients" / thing / "does.txt").write_text("raises")
    ran = run(project, "--rounds", 1, "--out", tmp_path / "out", "--json")
    answer = json.loads(ran.stdout)
    assert (ran.returncode, answer["error"]["code"]) == (1, "simulation_failed")
    assert "the quorum is 2 of 4 clients; 1 client declined: dataset" in answer["error"]["message"]
    page = parsed(Path(answer["result"]["report"]).read_text())
    assert "the round made no model" in page.section("failures").text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--resume"], "--resume goes on with a run folder: name it by --out"),
        (["--set", "training.lr=0.1"], "--set training.lr=0.1: training.lr: there is no such field in training"),
        (["--set", "training"], "--set training: use a field of federation.yaml and its value"),
        (["--set", "selection.minimum=9"], "selection.minimum: 9 is more than the 5 clients that there are"),
        (["--devices", "/none.jsonl"], "/none.jsonl can't be read: No such file or directory"),
        (["--out", "/proc/none", "--resume"], "there is no simulation to go on with: there is no /proc/none/state"),
    ],
)
def test_what_can_not_be_simulated_is_wrong_usage(project: Path, words: list[str], told: str) -> None:
    ran = run(project, *words, "--json")
    answer = json.loads(ran.stdout)
    assert (ran.returncode, answer["exit_code"]) == (2, 2)
    assert told in answer["error"]["message"]


@pytest.mark.timeout(300)
def test_a_tracker_is_told_of_each_round(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "packages", "wandb", WANDB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    ran = run(project, "--rounds", 3, "--out", tmp_path / "out", "--track", "wandb")
    assert ran.returncode == 0, ran.stderr
    made = calls(tmp_path)
    assert [call[0] for call in made] == ["start", *["metrics"] * 3, "end"]
    assert made[0][1]["name"] == "out"
    lines = list(RunFolder(tmp_path / "out").rounds())
    assert [(call[2], call[1]["held_out_accuracy"]) for call in made[1:4]] == [
        (line.round, line.held_out["accuracy"]) for line in lines
    ]


def test_a_tracker_that_is_not_there_is_told_before_anything_is_computed(project: Path, tmp_path: Path) -> None:
    ran = run(project, "--out", tmp_path / "out", "--track", "mlflow")
    assert ran.returncode != 0
    assert "pip install mlflow" in ran.stderr
    assert not (tmp_path / "out").exists()
