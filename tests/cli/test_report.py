"""`fedgrass report`: a page of a run folder, or of a federation in AWS."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from cli.planning.forecast import forecast
from cli.planning.models import headers_of
from cli.run_costs import costs_of
from reporting.pictures.recorded_run import read
from reporting.records import CLIENTS, CONFIG, MODEL, REPORT, ROUNDS, SUMMARY
from tests.cli.running import Ran, fedgrass
from tests.cloud.examples import federation
from tests.cloud.simulated import SimulatedFederation
from tests.reporting.examples import add, create, resume
from tests.reporting.pictures.pages import parsed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three rounds of two clients."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with create(tmp_path / "f") as writer:
        add(writer, 1, 2, 3)
        writer.finish("finished")
    return tmp_path / "f"


def test_a_run_folder_gets_its_report(folder: Path) -> None:
    assert fedgrass("report", str(folder)) == Ran(0, f"{folder}/{REPORT}\n", "")
    page = parsed((folder / REPORT).read_text())
    assert [row[0] for row in page.section("learning").table("Every round's metrics")] == ["round", "1", "2", "3"]
    written = fedgrass("report", str(folder), "--json").result
    assert written == {"path": f"{folder}/{REPORT}", "bytes": (folder / REPORT).stat().st_size, "rounds": 3}


def test_a_report_is_replaced_when_the_run_has_gone_on(folder: Path) -> None:
    fedgrass("report", str(folder))
    with resume(folder) as writer:
        add(writer, 4)
        assert fedgrass("report", str(folder)).status == 0, "while the run goes on"
        writer.finish("finished")
    assert parsed((folder / REPORT).read_text()).section("learning").table("Every round's metrics")[-1][0] == "4"


def test_dollars_are_what_plan_says_of_a_round_with_these_clients(folder: Path) -> None:
    run = read(folder)
    costs = costs_of(run, folder / MODEL, "eu-west-1")
    assert costs is not None
    planned = forecast(*headers_of(folder / MODEL), 2, run.settings.averaging, run.settings.encoding, "eu-west-1")
    assert [sum(costs.by_round[number].values()) for number in (1, 2, 3)] == [
        pytest.approx(planned.dollars_a_round)
    ] * 3
    fedgrass("report", str(folder))
    assert "by the prices of eu-west-1" in parsed((folder / REPORT).read_text()).section("traffic").text


def test_a_round_that_waits_for_some_of_its_clients_costs_what_these_do(folder: Path) -> None:
    run = read(folder)
    waits = msgspec.structs.replace(run, settings=federation(max_staleness=2, target=1, rounds=20))
    lines = tuple(msgspec.structs.replace(line, cohort=50, target=2) for line in run.rounds)
    assert costs_of(msgspec.structs.replace(waits, rounds=lines), folder / MODEL, "us-east-1") == costs_of(
        run, folder / MODEL, "us-east-1"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_PROFILE", "unheard-of"), ("AWS_DEFAULT_REGION", "mars-north-1"), ("AWS_DEFAULT_REGION", "")],
)
def test_no_aws_configuration_is_in_the_way_of_a_report(
    folder: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv(name, value)
    assert fedgrass("report", str(folder)).status == 0
    assert "by the prices of us-east-1" in parsed((folder / REPORT).read_text()).section("traffic").text


def test_a_run_without_a_model_has_a_report_without_dollars(tmp_path: Path) -> None:
    with create(tmp_path / "f") as writer:
        writer.finish("failed", "no device answered")
    assert fedgrass("report", str(tmp_path / "f")).status == 0
    page = parsed((tmp_path / "f" / REPORT).read_text())
    assert "no device answered" in page.section("overview").text
    assert "No round has ended" in page.section("traffic").text


def test_what_is_no_run_folder_is_told(tmp_path: Path) -> None:
    ran = fedgrass("report", f"{tmp_path}/nothing", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (2, "no_run_folder")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_keeps_its_report(folder: Path) -> None:
    fedgrass("report", str(folder))
    (folder / f"{REPORT}.new").mkdir()
    ran = fedgrass("report", str(folder), "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (1, "run_folder_not_written")
    assert (folder / REPORT).read_text().startswith("<!doctype html>")


def test_a_report_that_is_no_runs_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / REPORT).write_text("mine")
    with pytest.raises(Exception, match=re.escape(f"{tmp_path / REPORT} is there already")):
        create(tmp_path)


def test_a_federation_is_fetched_and_reported(
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
        path = f"runs/{simulated.name}"
        fetched = f"{path}: 1 new round, {number} in all; the model of round {number}\n"
        assert fedgrass("report", simulated.name) == Ran(0, f"{fetched}{path}/{REPORT}\n", "")
    page = parsed(Path(path, REPORT).read_text())
    assert page.section("learning").table("Every round's metrics")[1:] == [["1", "1"], ["2", "0.5"]]
    assert fedgrass("report", path, "--json").result["rounds"] == 2
    assert fedgrass("report", path, "--stack", "nowhere", "--json").status == 3


@pytest.mark.parametrize("name", [CONFIG, ROUNDS, CLIENTS, SUMMARY, MODEL])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "binary", "null bytes", "a folder"])
def test_a_damaged_file_of_a_run_folder_is_named_with_a_remedy(folder: Path, name: str, damage: str) -> None:
    file = folder / name
    data = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "missing":
        changed = {
            "empty": b"",
            "cut": data[: len(data) // 3],
            "binary": b"\xf2\xff\n" * 50,
            "null bytes": b"\0\n" * 50,
        }
        file.write_bytes(changed[damage])
    ran = fedgrass("report", str(folder), "--json")
    if (name, damage) in HARMLESS:
        assert ran.status == 0
        return
    code = "no_run_folder" if (name, damage) == (SUMMARY, "missing") else "corrupt_run_folder"
    assert ran.envelope["error"]["code"] == code
    message = ran.envelope["error"]["message"]
    assert name in message
    assert re.search("put back|name the folder", message)


HARMLESS = {(ROUNDS, "empty"), (ROUNDS, "cut"), (MODEL, "missing")}
"""A run that was killed as it began, a line that was not finished, and a fetch that could not read the model."""


@pytest.mark.parametrize("command", ["report", "history"])
@pytest.mark.parametrize("name", [ROUNDS, CLIENTS, SUMMARY])
def test_a_folder_of_a_newer_version_is_refused_with_the_version_that_can_read_it(
    folder: Path, command: str, name: str
) -> None:
    summary = json.loads((folder / SUMMARY).read_bytes())
    summary["schemas"][name] = 9
    summary["versions"]["fedgrass"] = "7.0.1"
    del summary["status"]  # nothing is known of what such a version means
    (folder / SUMMARY).write_text(json.dumps(summary))
    ran = fedgrass(command, str(folder), "--json")
    assert ran.envelope["error"]["code"] == "corrupt_run_folder"
    message = ran.envelope["error"]["message"]
    assert message.startswith(f"{folder / name} is of version 9, and this fedgrass reads 1: ")
    assert "7.0.1" in message


def test_a_report_that_can_not_be_written_is_named(folder: Path) -> None:
    (folder / REPORT).mkdir()
    ran = fedgrass("report", str(folder))
    assert ran.status == 1
    assert ran.error.startswith(f"error: the report {folder / REPORT} can't be written: Is a directory: ")
    assert f"fedgrass report {folder}" in ran.error


def test_a_folder_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    ran = fedgrass("report", str(tmp_path / "june"))
    assert (ran.status, ran.error) == (
        2,
        f"error: {tmp_path / 'june'} is not there: name the folder that a run has written\n",
    )
