"""`fedgrass run`: numbers to predict, data of one's own, and someone who works on it from another shell."""

import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from reporting.run_folder import RunFolder
from tests.e2e.conftest import INSTALLED, Machine
from tests.e2e.shells import Output, Shell
from tests.reporting.pictures.pages import parsed
from tests.reporting.trackers import WANDB, calls, installed


@pytest.mark.timeout(400)
def test_own_data_and_metrics_an_operator_and_a_device_that_fails(
    machine: Machine, project: Path, tmp_path: Path
) -> None:
    kept, run = tmp_path / "kept", tmp_path / "run"
    words = ["run", str(project), "--devices", "2", "--keep", str(kept), "--out", str(run)]
    output = Output(machine.start(*words, program=INSTALLED))
    shell = Shell(machine.environment, output.until("export AWS_ENDPOINT_URL="))
    output.until("round   1 closed: 2 of 2 updates, loss ")

    shell.fedgrass("pause", "slopes")
    assert output.until("paused") == "paused: it goes on with fedgrass resume slopes"
    (federation,) = shell.fedgrass("status", "slopes")["federations"]
    last = federation["round"] + 2
    settings = (project / "federation.yaml").read_text()
    (project / "federation.yaml").write_text(settings.replace("rounds: 500", f"rounds: {last}"))
    assert shell.fedgrass("update", str(project), "--yes")["changed"]
    (project / "data" / "south" / "data.csv").write_text("a,b,y\nthis is no number\n")
    shell.fedgrass("resume", "slopes")
    output.until("it goes on")
    output.until(f"round {last:3d} closed: 1 of 2 updates")
    said = output.rest()

    assert output.process.returncode == 0, said
    assert "mae of the global model on held-out data" in said
    assert "%" not in said
    log = kept / "devices" / "south" / "logs" / "com.fedgrass.Client.log"
    assert f"south failed; its log: {log}\n" in said
    assert "this is no number" in log.read_text()
    assert list(kept.glob("buckets/*/federations/slopes/*/models/00000001.safetensors"))
    assert (kept / "functions" / "fedgrass-averager.log").stat().st_size > 0
    assert not list(kept.rglob("*.key"))
    folder = RunFolder(run)
    assert (folder.summary.status, folder.summary.rounds, folder.summary.rounds_asked) == ("finished", last, last)
    assert folder.summary.metrics.held_out["mae"].last.value < 0.5
    assert [line.round for line in folder.rounds()] == list(range(1, last + 1))
    assert f"report        {run}/report.html\n" in said
    assert "worst device  " in said
    assert "in AWS        these rounds would cost about $" in said
    assert (kept / "report.html").read_bytes() == (run / "report.html").read_bytes()
    page = parsed((run / "report.html").read_text())
    assert "this is no number" in page.section("failures").text
    assert page.section("learning").chart("mae").first("figcaption").text == "mae"
    assert msgspec.yaml.decode((run / "config.yaml").read_bytes())["task"] == str(project)
    assert machine.left_behind() == []


def one_table(data: Path, things: Sequence[str], table: Path) -> Path:
    """What these have, as one table that says in a column whose each row is."""
    lines = ["a,b,y,region"]
    for thing in things:
        lines += [f"{row},{thing}" for row in (data / thing / "data.csv").read_text().splitlines()[1:]]
    table.write_text("\n".join(lines) + "\n")
    return table


def test_ctrl_c_in_a_run_on_one_table_keeps_what_there_is_and_the_tracker_has_all_rounds(
    machine: Machine, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "packages", "wandb", WANDB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    kept, run = tmp_path / "kept", tmp_path / "run"
    houses = one_table(project / "data", ["north", "south"], tmp_path / "houses.csv")
    words = ["run", str(project), "--data", str(houses), "--split", "by:region", "--devices", "1"]
    output = Output(machine.start(*words, "--keep", str(kept), "--out", str(run), "--track", "wandb"))
    output.until("round   1 closed: 1 of 1 updates")
    output.process.send_signal(signal.SIGINT)
    output.until(f"stopping, and keeping what there is in {kept}")
    output.process.send_signal(signal.SIGINT)
    said = output.rest()
    assert output.process.returncode == 130
    assert "everything that was started is stopped" in said
    assert "Traceback" not in said
    assert f"the devices' directories are in {kept}" in said
    assert sorted(path.name for path in (kept / "devices").iterdir()) == ["north"]
    assert list(kept.glob("buckets/*/federations/slopes/*/models/00000001.safetensors"))
    assert list(kept.glob("tables/*.jsonl"))
    assert RunFolder(run).summary.status == "interrupted"
    told = [call[2] for call in calls(tmp_path) if call[0] == "metrics"]
    assert told == [line.round for line in RunFolder(run).rounds()] != []
    assert machine.left_behind() == []


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--devices", "4"], 2, "4 clients are more than the 3 clients"),
        (["--data", "nowhere"], 2, "nowhere does not exist"),
        (["--keep", "."], 2, "is not empty"),
        (["--out", "."], 2, "it is a project's"),
        (["--keep", "/proc/kept"], 1, "nothing can be kept in /proc/kept: "),
        (["--out", "/proc/run"], 1, "the run folder /proc/run can't be written: "),
        (["--keep", "same", "--out", "same"], 2, "--keep same and the run folder same lie one in the other"),
        (["--keep", "runs"], 2, "--keep runs and the run folder runs/slopes-001 lie one in the other"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_started(
    machine: Machine, project: Path, words: list[str], status: int, told: str
) -> None:
    words = [str(project) if word == "." else word for word in words]
    ran = machine.run("run", str(project), *words)
    assert ran.returncode == status, ran.stderr
    assert told in ran.stderr
    assert "embedded AWS" not in ran.stdout
    assert "directories are in" not in ran.stdout + ran.stderr
    assert machine.left_behind() == []
