"""`fedgrass demo --chaos`: every fault happens, and is survived."""

import json
import signal
from pathlib import Path

import pytest

from sandbox.faults import Fault
from tests.e2e.conftest import Machine
from tests.e2e.shells import Output

DEVICES = 4
ROUNDS = 10


@pytest.mark.timeout(400)
def test_a_federation_survives_every_fault_and_learns_as_well_as_without(machine: Machine) -> None:
    ran = machine.run(
        "demo",
        "--chaos",
        "--devices",
        str(DEVICES),
        "--rounds",
        str(ROUNDS),
        "--nucleus",
        "mixed",
        "--json",
        limit_s=360,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    outcome = json.loads(ran.stdout)["result"]
    chaos = {each["fault"]: each for each in outcome["chaos"]}
    assert set(chaos) == set(Fault)
    for each in chaos.values():
        assert each["injected"] > 0, each
        assert each["survived"], each
    # A refusal concerns all rounds: in each of them, no lease is left and each client was counted once.
    assert chaos[Fault.REFUSAL]["rounds"] == list(range(1, ROUNDS + 1))
    assert [figures["status"] for figures in outcome["history"]] == ["closed"] * ROUNDS
    assert all(DEVICES / 2 <= figures["accepted"] <= DEVICES for figures in outcome["history"])
    (held_back,) = chaos[Fault.STRAGGLER]["rounds"]
    assert outcome["history"][held_back - 1]["accepted"] < DEVICES
    assert abs(outcome["accuracy"] - outcome["calm_accuracy"]) <= 0.02
    assert machine.left_behind() == []


def test_chaos_says_how_many_rounds_and_devices_it_needs(machine: Machine) -> None:
    ran = machine.run("demo", "--chaos", "--rounds", "3")
    assert ran.returncode == 2
    assert "at least 10 rounds" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_of_the_run_without_faults_nothing_is_kept_or_said_to_be(machine: Machine, tmp_path: Path) -> None:
    kept, run = tmp_path / "kept", tmp_path / "run"
    words = ["demo", "--chaos", "--devices", "4", "--rounds", "10", "--keep", str(kept), "--out", str(run)]
    output = Output(machine.start(*words))
    output.until("without faults")
    output.until("registering")
    output.process.send_signal(signal.SIGINT)
    said = output.rest()
    assert output.process.returncode == 130
    assert "stopping: " in said
    assert str(kept) not in said
    assert not kept.exists()
    assert not run.exists()
    assert machine.left_behind() == []
    told = " ".join(machine.run("demo", "--help").stdout.replace("│", "").split())
    assert "--keep and --out are of this run alone" in told
