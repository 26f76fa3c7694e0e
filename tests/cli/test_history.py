"""`fedgrass history`: every round's metrics, from a run folder or from a deployment; and `fedgrass fetch`."""

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cli.sparkline import sparkline
from reporting.run_folder import RunFolder
from tests.cli.running import Ran, fedgrass
from tests.cloud.simulated import SimulatedFederation
from tests.paths import ROOT
from tests.reporting.examples import answered, create, ended


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three rounds, the second one without a model."""
    with create(tmp_path / "f") as writer:
        for number in (1, 2, 3):
            aborted = {"status": "aborted", "model": None, "metrics": None, "accepted": 0, "reason": "=too few\n"}
            record = ended(number, **(aborted if number == 2 else {"accepted": 2}))
            writer.add_round(record, answered(record), held_out={"loss": 1 / number, "odd": None})
        writer.finish("finished")
    return tmp_path / "f"


def history(*arguments: str) -> str:
    ran = fedgrass("history", *arguments)
    assert (ran.status, ran.error) == (0, "")
    return ran.out


def test_a_table_has_a_row_a_round_and_a_column_a_metric(folder: Path) -> None:
    header, *rows = history(str(folder)).splitlines()
    assert header.split() == ["round", "status", "updates", "held_out_loss", "held_out_odd", "accuracy_after", "reason"]
    assert [row.split() for row in rows] == [
        ["1", "closed", "2", "1.0000", "not", "finite", "0.5000"],
        ["2", "aborted", "0", "0.5000", "not", "finite", "=too", r"few\n"],
        ["3", "closed", "2", "0.3333", "not", "finite", "0.8750"],
    ]


def test_json_has_each_round_with_its_metrics(folder: Path) -> None:
    told = json.loads(history(str(folder), "--json"))["result"]
    assert told["federation"] == "f"
    assert [(one["round"], one["status"], one["metrics"]) for one in told["rounds"]] == [
        (1, "closed", {"held_out_loss": 1.0, "held_out_odd": None, "accuracy_after": 0.5}),
        (2, "aborted", {"held_out_loss": 0.5, "held_out_odd": None}),
        (3, "closed", {"held_out_loss": pytest.approx(1 / 3), "held_out_odd": None, "accuracy_after": 0.875}),
    ]


def test_csv_is_safe_for_spreadsheets(folder: Path) -> None:
    rows = list(csv.DictReader(history(str(folder), "--csv").splitlines()))
    assert [row["accuracy_after"] for row in rows] == ["0.5", "", "0.875"]
    assert [row["held_out_odd"] for row in rows] == ["nan"] * 3
    assert rows[1]["reason"] == r"'=too few\n"


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("accuracy", {"accuracy_after"}),
        ("accuracy_after", {"accuracy_after"}),
        ("loss", {"held_out_loss"}),
        ("held_out_loss", {"held_out_loss"}),
    ],
)
def test_a_metric_is_asked_for_by_its_whole_name_or_the_tasks(folder: Path, asked: str, shown: set[str]) -> None:
    rounds = json.loads(history(str(folder), "--json", "--metric", asked))["result"]["rounds"]
    assert {name for one in rounds for name in one["metrics"]} == shown


def test_a_metric_that_no_round_has_is_refused_with_those_there_are(folder: Path) -> None:
    ran = fedgrass("history", str(folder), "--metric", "accurracy", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (2, "unknown_metric")
    assert "held_out_loss" in ran.error


def test_a_folder_is_told_from_a_federation_of_the_same_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("f", "./f", "../" + folder.parent.name + "/f"):
        assert len(history(name).splitlines()) == 4
    monkeypatch.chdir(folder)
    assert len(history(".").splitlines()) == 4


def test_what_is_no_run_folder_is_told(tmp_path: Path) -> None:
    ran = fedgrass("history", f"{tmp_path}/nothing", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (2, "no_run_folder")


def test_a_terminal_is_shown_a_curve_of_each_metric_with_the_best_round(folder: Path) -> None:
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "history", str(folder)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "TERM": "xterm"},
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(controller, 65536):
                shown += part
        except OSError:
            pass  # it has ended
        assert process.wait() == 0
    os.close(controller)
    curves = [line.split("  ") for line in shown.decode().splitlines()[-3:]]
    assert [[cell.strip() for cell in curve if cell.strip()] for curve in curves] == [
        ["held_out_loss", "1.0000", "█▃▁", "0.3333", "0.3333", "3"],
        ["held_out_odd", "not finite"],
        ["accuracy_after", "0.5000", "▁ █", "0.8750", "0.8750", "3"],
    ]


def test_a_sparkline_has_a_bar_for_as_many_values_as_there_is_room() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([float(n // 10) for n in range(80)], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, None, 2.0], 9) == "▁ █"
    assert sparkline([3.0, 3.0], 9) == "▁▁"
    assert sparkline([-1.7e308, 1.7e308], 9) == "▁█"
    assert sparkline([None, None], 9) == "  "
    assert sparkline([], 9) == ""


def test_a_federation_is_fetched_and_looked_at(
    simulated: SimulatedFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in simulated.aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    simulated.create(["d0"], rounds=2)
    simulated.start()
    for number in (1, 2):
        simulated.answer("d0", number, after={"loss": 1 / number})
        simulated.ended(number)
        said = f"runs/{simulated.name}: 1 new round, {number} in all; the model of round {number}\n"
        assert fedgrass("fetch", simulated.name) == Ran(0, said, "")
    assert [line.round for line in RunFolder(tmp_path / "runs" / simulated.name).rounds()] == [1, 2]
    told = fedgrass("fetch", simulated.name, "other", "--rounds", "2", "--json").result
    assert (told["path"], told["new"], told["summary"]["totals"]["rounds"]) == ("other", 1, 1)

    told = fedgrass("history", simulated.name, "--json").result
    assert [one["metrics"] for one in told["rounds"]] == [{"loss_after": 1.0}, {"loss_after": 0.5}]
    assert fedgrass("history", f"runs/{simulated.name}", "--json").result == told
    monkeypatch.chdir(tmp_path / "runs")
    assert fedgrass("history", simulated.name, "--json").result == told
    assert fedgrass("history", simulated.name, "--stack", "nowhere", "--json").status == 3


def test_what_can_not_be_fetched_is_refused_before_anything_is_written(
    simulated: SimulatedFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in simulated.aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    simulated.create(["d0"])

    def code(*words: str) -> str:
        return str(fedgrass("fetch", *words, "--json").envelope["error"]["code"])

    for wrong in ("2-1", "0-3", "-", "", "a-b", "1-2-3"):
        assert code(simulated.name, f"--rounds={wrong}") == "wrong_usage"
    assert code(simulated.name, "--track", "aim") == "wrong_usage"
    assert code("unheard-of") == "unknown_federation"
    assert not any(tmp_path.iterdir())


def test_a_name_without_a_federation_is_said_not_to_be_a_run_folder_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with create(tmp_path / "runs" / "june") as writer:
        writer.finish("finished")
    for command in ("history", "report"):
        error = fedgrass(command, "june", "--json").envelope["error"]
        assert error["code"] == "no_region"
        assert error["message"].endswith(
            "; a run folder june is not here, so a federation was looked for; is runs/june meant?"
        )
        assert "name one with its path" in fedgrass(command, "july").error
        assert "run folder" not in fedgrass(command, "july", "--stack", "s").error


def test_a_run_without_rounds_is_said_to_have_none(tmp_path: Path) -> None:
    with create(tmp_path / "f") as writer:
        writer.finish("finished")
    assert history(str(tmp_path / "f")) == "no round has ended yet\n"
