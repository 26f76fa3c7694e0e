"""`fedgrass sandbox`: up and down, and nothing of it is left, however it ends."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sandbox.polling import eventually
from tests.e2e.conftest import Machine
from tests.e2e.shells import LIMIT_S, Output, Shell


def given(machine: Machine, *words: str) -> Any:
    """The result of a command about the sandbox."""
    ran = machine.run("sandbox", *words, "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)["result"]


def known(machine: Machine) -> list[str]:
    """What is in the state directory."""
    return [str(path) for path in machine.state.rglob("*") if path.is_file()]


@pytest.mark.timeout(400)
def test_a_sandbox_stays_up_for_other_commands_and_one_that_is_killed_is_recognised(
    machine: Machine, project: Path
) -> None:
    first = given(machine, "up", str(project), "--devices", "1")
    again = machine.run("sandbox", "up")
    assert again.stdout.startswith("sandbox default is up already\n")
    line = next(line for line in again.stdout.splitlines() if line.startswith("export "))
    shell = Shell(machine.environment, line)
    shell.fedgrass("start", "slopes")

    def has_trained() -> bool:
        (federation,) = shell.fedgrass("status", "slopes")["federations"]
        return bool(federation["round"] >= 2)

    eventually(has_trained, "two rounds", LIMIT_S)
    assert shell.fedgrass("pause", "slopes")["status"] == "paused"
    assert given(machine, "status")["sandbox"] == first["sandbox"]

    os.kill(first["sandbox"]["pid"], signal.SIGKILL)
    machine.wait_until_nothing_is_left()
    assert given(machine, "status")["condition"] == "killed"
    assert given(machine, "down")["before"] == "killed"
    assert given(machine, "status")["condition"] == "down"
    assert known(machine) == []


@pytest.mark.timeout(400)
def test_down_keeps_what_is_asked_for_and_leaves_nothing_else(machine: Machine, project: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        given(machine, "up", "--name", name, "--keep", str(tmp_path / name))
    other = machine.run("sandbox", "up", str(project), "--name", "one", "--json")
    assert (other.returncode, json.loads(other.stdout)["error"]["code"]) == (1, "sandbox_up")
    for name in ("one", "two"):
        assert given(machine, "down", "--name", name)["kept"] == str(tmp_path / name)
        assert (tmp_path / name / "aws.log").stat().st_size > 0
    assert machine.left_behind() == []
    assert known(machine) == []


@pytest.mark.parametrize("words", [[], ["--foreground"]])
def test_ctrl_c_in_up_leaves_nothing_behind(machine: Machine, words: list[str]) -> None:
    output = Output(machine.start("sandbox", "up", *words))
    output.until("starting the embedded AWS")
    output.process.send_signal(signal.SIGINT)
    said = output.rest()
    assert output.process.returncode == 130, said
    assert machine.left_behind() == []
    assert given(machine, "status")["condition"] == "down"


def test_ctrl_c_in_up_says_where_things_are_kept_of_what_had_started(
    machine: Machine, project: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    output = Output(machine.start("sandbox", "up", str(project), "--devices", "1", "--keep", str(kept)))
    output.until("registering")
    output.process.send_signal(signal.SIGINT)
    output.until("stopping, and keeping")
    output.process.send_signal(signal.SIGINT)
    assert output.until("logs, objects, records").endswith(f" are in {kept}")
    said = output.rest()
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    assert output.process.returncode == 130
    assert (kept / "aws.log").exists()
    assert machine.left_behind() == []
    assert known(machine) == []


def test_one_in_the_foreground_says_where_things_are_kept(machine: Machine, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    output = Output(machine.start("sandbox", "up", "--foreground", "--keep", str(kept)))
    output.until("export ")
    output.process.send_signal(signal.SIGINT)
    output.until("stopping, and keeping")
    assert output.until("logs, objects, records").endswith(f" are in {kept}")
    output.rest()
    assert output.process.returncode == 130
    assert list(kept.glob("tables/*.jsonl"))


def test_what_fails_in_the_background_is_told_as_in_the_foreground(machine: Machine, taken_port: int) -> None:
    ran = machine.run("sandbox", "up", "--port", str(taken_port), "--json")
    assert (ran.returncode, json.loads(ran.stdout)["error"]["code"]) == (2, "port_taken")
    assert machine.left_behind() == []
    assert given(machine, "status")["condition"] == "down"
