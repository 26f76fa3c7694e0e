"""Every command, told names and paths that would be markup or control a terminal, and shown such text by others."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from cli import main
from cli.registry import COMMANDS
from cloud.state.records import ResponseRecord
from operations.control import Operations
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.example_updates import TIMINGS
from tests.cli.test_screen import HOSTILE, SHOWN
from tests.cloud.examples import report
from tests.cloud.simulated import SimulatedFederation

DEPLOYED = ("deploy", "init", "start", "pause", "resume", "abort-round", "rollback", "status", "timeline")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status that the command ends with, and all that it prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).split("\n"):
        assert line.isprintable(), repr(line)
        assert not line.startswith("error: forged")
    return int(ended.value.code or 0), printed.out + printed.err


@pytest.fixture
def operator(aws: EmbeddedAws, deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the commands use the embedded AWS."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_does_not_exist_is_repeated_as_text(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, text = told(capsys, *command.split(), f"--{HOSTILE}")
    assert status == 2
    assert "[bold]x[/] [/data/*.csv]" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("what-leaves", HOSTILE),
        ("demo", HOSTILE),
        ("init", HOSTILE),
        ("deploy", "cloud", HOSTILE),
        ("demo", "--split", HOSTILE),
        ("demo", "--data", HOSTILE),
        ("split", HOSTILE, "new", "--split", HOSTILE),
        ("plan", "--clients", "1", "--model", HOSTILE),
        ("plan", "--clients", HOSTILE),
        ("start", HOSTILE),
        ("pause", HOSTILE),
        ("resume", HOSTILE),
        ("abort-round", HOSTILE),
        ("rollback", HOSTILE, "--to", "0"),
        ("status", HOSTILE),
        ("timeline", HOSTILE, "1"),
        ("clients", HOSTILE),
        ("clients", "digits", "--where", HOSTILE),
        ("clients", "digits", "--sort", HOSTILE),
        ("forget", HOSTILE, "device-7"),
        ("forget", "digits", HOSTILE),
        ("logs", HOSTILE),
        ("status", "--stack", HOSTILE),
        (HOSTILE,),
    ],
    ids=lambda arguments: arguments[0][:12],
)
def test_names_and_paths_are_text(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    operator: None,
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = told(capsys, *arguments)
    assert status == 2
    assert "[bold]x[/]" in text or arguments == ("plan", "--clients", HOSTILE)  # which is not repeated


def test_a_path_with_brackets_is_shown_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    directory = tmp_path / "[red]shards[/red]" / HOSTILE.replace("/", "|")
    (tmp_path / "data.csv").write_text("x\n" + "1\n" * 10)
    status, text = told(capsys, "split", str(tmp_path / "data.csv"), str(directory), "--clients", "2")
    assert status == 0
    assert f"{tmp_path}/[red]shards[/red]/{SHOWN.replace('/', '|')}/holdout" in text
    cafe = os.fsdecode(bytes(tmp_path) + b"/caf\xe9")
    status, text = told(capsys, "split", str(tmp_path / "data.csv"), cafe, "--json")
    assert json.loads(text)["result"]["holdout"] == f"{tmp_path}/caf\udce9/holdout"


def test_what_a_table_has_in_it_is_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quoted = HOSTILE.replace('"', '""')
    (tmp_path / "data.csv").write_text(f'"{quoted}",label\n' + f'"{quoted}","{quoted}"\n' * 10)
    out = tmp_path / "out"
    status, text = told(capsys, "split", str(tmp_path / "data.csv"), str(out), "--clients", "2")
    assert (status, "[bold]x[/]" in text) == (0, True)
    status, text = told(capsys, "split", str(tmp_path / "data.csv"), "other", "--split", "by:nobody")
    assert (status, "[bold]x[/]" in text) == (2, True)
    assert json.loads((out / "split.json").read_text())["labels"]


def test_what_devices_have_said_is_text_in_a_timeline(
    capsys: pytest.CaptureFixture[str],
    operator: None,
    aws: EmbeddedAws,
    deployed: Deployment,
) -> None:
    simulated = SimulatedFederation(aws, deployed, "hostile-text")
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    simulated.opened(1)
    rounds = Operations(aws.client, deployed).rounds
    refused = ResponseRecord(
        thing="stranger",
        state="refused",
        arrived_at=1.0,
        inspected_at=1.0,
        reason=HOSTILE,
        report=report("stranger", before={HOSTILE: 1.0}),
    )
    rounds.refuse(simulated.name, 1, [refused], simulated.life)
    _, text = told(capsys, "timeline", simulated.name, "1")
    assert f"stranger: refused: {SHOWN}" in text
    _, text = told(capsys, "timeline", simulated.name, "1", "--json")
    assert json.loads(text)["result"]["answers"]["refused"][0]["reason"] == HOSTILE
    status, text = told(capsys, "abort-round", simulated.name, "--reason", HOSTILE)
    assert status == 0
    assert SHOWN in text


def test_a_time_that_no_clock_has_is_short_in_a_timeline(
    capsys: pytest.CaptureFixture[str],
    operator: None,
    aws: EmbeddedAws,
    deployed: Deployment,
) -> None:
    simulated = SimulatedFederation(aws, deployed, "hostile-times")
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    simulated.answer("d0", 1, timings=msgspec.structs.replace(TIMINGS, downloaded_at=1e308, trained_at=-1e308))
    simulated.accepted_count(1, 1)
    _, text = told(capsys, "timeline", simulated.name, "1")
    (row,) = [line for line in text.splitlines() if "d0" in line and "no answer" not in line]
    assert "1e+308" in row
    assert "-1e+308" in row
    assert len(row) < 200
    simulated.stop()


def test_a_wrong_setting_is_shown_as_it_stands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("")
    (tmp_path / "federation.yaml").write_text(f"name: {json.dumps(HOSTILE)}\n{json.dumps(HOSTILE)}: [1]\n")
    status, text = told(capsys, "init", str(tmp_path))
    assert status == 2
    assert f"federation.yaml:2: {SHOWN}: there is no such field" in text


def test_without_a_command_all_commands_are_listed_with_whole_sentences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, text = told(capsys)
    assert status == 0
    assert all(f"\n  {command.split()[0]} " in text for command in COMMANDS)
    assert "..." not in text.partition("On this machine:")[2]
