"""`fedgrass update`: shows what differs, asks, and changes a federation's settings."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import Ran, fedgrass
from tests.cloud.simulated import SimulatedFederation
from tests.paths import ROOT

TASK = """
from torch import nn

def build_model():
    return nn.Linear(2, 1)

def load_data(directory, client):
    raise FileNotFoundError(directory)
"""


def update(aws: EmbeddedAws, *arguments: str) -> Ran:
    return fedgrass("update", *arguments, COLUMNS="200", **aws.environment)


def asked(aws: EmbeddedAws, project: Path, stdin: int) -> "subprocess.CompletedProcess[str]":
    """The command in a process, which has a standard input of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "update", str(project)],
        cwd=ROOT,
        env=os.environ | aws.environment | {"COLUMNS": "200"},
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def project(simulated: SimulatedFederation, tmp_path: Path) -> Path:
    """The folder of a federation that is running, as it was made."""
    simulated.create(["d0"], rounds=3)
    (tmp_path / "task.py").write_text(TASK)
    write(tmp_path, simulated)
    return tmp_path


def write(project: Path, simulated: SimulatedFederation, learning_rate: float = 0.1, more: str = "") -> None:
    (project / "federation.yaml").write_text(
        f"name: {simulated.name}\nrounds: 3\n"
        f"training: {{epochs: 1, batch_size: 8, learning_rate: {learning_rate}}}\n{more}"
    )


def learning_rate(simulated: SimulatedFederation) -> float:
    return simulated.operations.federations.get(simulated.name).settings.training.learning_rate


def test_nothing_differs_from_what_the_federation_was_made_with(
    aws: EmbeddedAws, simulated: SimulatedFederation, project: Path
) -> None:
    ran = update(aws, str(project))
    assert (ran.status, ran.out) == (0, f"federation {simulated.name} has these settings already\n")


def test_a_rehearsal_shows_what_differs_and_changes_nothing(
    aws: EmbeddedAws, simulated: SimulatedFederation, project: Path
) -> None:
    write(project, simulated, 0.02)
    ran = update(aws, str(project), "--dry-run")
    assert ran.status == 0, ran.error
    assert next(line.split() for line in ran.out.splitlines() if "learning_rate" in line) == [
        "training.learning_rate",
        "0.1",
        "0.02",
    ]
    assert learning_rate(simulated) == 0.1


def test_it_changes_the_federation_and_says_from_which_round_on(
    aws: EmbeddedAws, simulated: SimulatedFederation, project: Path
) -> None:
    write(project, simulated, 0.02)
    ran = update(aws, str(project), "--yes")
    assert "round 1" in ran.out
    assert f"fedgrass start {simulated.name}" in ran.out
    assert learning_rate(simulated) == 0.02
    again = update(aws, str(project), "--yes", "--json").result
    assert (again["changed"], again["differences"], again["revision"]) == (False, [], 1)


def test_nobody_who_can_be_asked_is_no_consent(aws: EmbeddedAws, simulated: SimulatedFederation, project: Path) -> None:
    write(project, simulated, 0.02)
    ran = asked(aws, project, subprocess.DEVNULL)
    assert ran.returncode == 2
    assert "--yes" in ran.stderr
    assert learning_rate(simulated) == 0.1


@pytest.mark.parametrize(("typed", "expected"), [(b"n\n", 0.1), (b"y\n", 0.02)])
def test_at_a_terminal_it_asks(
    aws: EmbeddedAws, simulated: SimulatedFederation, project: Path, typed: bytes, expected: float
) -> None:
    write(project, simulated, 0.02)
    controller, terminal = pty.openpty()
    os.write(controller, typed)
    ran = asked(aws, project, terminal)
    os.close(terminal)
    os.close(controller)
    assert "Change this?" in ran.stdout
    assert learning_rate(simulated) == expected


def test_what_can_not_be_changed_is_named(aws: EmbeddedAws, simulated: SimulatedFederation, project: Path) -> None:
    write(project, simulated, 0.02, "encoding: int8\n")
    ran = update(aws, str(project), "--yes")
    assert ran.status == 2
    assert "encoding: float32 can't become int8" in ran.error
    assert learning_rate(simulated) == 0.1
