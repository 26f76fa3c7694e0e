"""Devices that die in the middle of a federation: rounds end all the same."""

from pathlib import Path

import psutil
import pytest

from cli import digits
from cli.datasets.dividing import Request
from cli.datasets.splitting import Split
from cli.datasets.writing import share_out
from cli.project import load
from cli.project_data import EXAMPLE
from cli.project_sandbox import build_component, init_federation
from reporting.view import View
from sandbox.federated_run import run_rounds, wait_for_clients
from sandbox.nucleus.personality import CLASSIC, LITE
from sandbox.sandbox import Sandbox
from tests.e2e.federations import model_0

THINGS = ["classic-fails", "lite-fails", "steady"]
NUCLEI = (CLASSIC, LITE)


@pytest.mark.timeout(240)
def test_rounds_end_while_agents_and_devices_die(tmp_path: Path) -> None:
    project = load(EXAMPLE, rounds=5, deadline_s=25, quorum=1)
    shards = share_out(digits.packaged_source(), Request(Split("iid"), names=tuple(THINGS)), tmp_path / "shards")
    done: set[int | str] = set()
    with Sandbox() as sandbox:
        component = build_component(project, sandbox.path / "build")
        init_federation(project, sandbox, model_0(project))
        with sandbox.fleet(component, project.settings, shards.clients, NUCLEI, threads=1) as fleet:
            failing = [device for thing, device in fleet.devices.items() if thing.endswith("fails")]
            assert [device.personality for device in failing] == list(NUCLEI)
            wait_for_clients(sandbox.operations, "digits", fleet)

            def break_something(view: View) -> None:
                step = "paused" if view.held_by else view.round
                if step in done:
                    return
                done.add(step)
                if step == 2:
                    sandbox.operations.pause("digits")  # or round 3 might be over before they are off
                for device in failing:
                    if step == 2:
                        device.kill_component()
                    elif step == "paused":
                        device.power_off()
                    elif step == 4:
                        device.power_on()
                    elif step == 5:
                        device.restart_nucleus()
                if step == "paused":
                    sandbox.operations.start("digits")

            agents_before = {device.pid for device in fleet.devices.values()}
            figures = run_rounds(sandbox, sandbox.operations, "digits", look=break_something)
            agents_after = {device.pid for device in fleet.devices.values()}
            rounds = [sandbox.operations.rounds.get("digits", number) for number in range(1, 6)]
            clients = {client.thing: client for client in sandbox.operations.clients.of("digits")}
        left = [pid for pid in agents_before | agents_after if pid is not None and psutil.pid_exists(pid)]

    assert [record.status for record in rounds] == ["closed"] * 5
    accepted = [figure.accepted for figure in figures]
    assert accepted[:3] == [3, 3, 1], "a killed agent comes back in its round"
    assert accepted[4] == 3, "so does one whose nucleus is restarted"
    assert len(agents_after - agents_before) == 2, "only the devices that died have new agents"
    missed = rounds[2]
    assert missed.closed_at is not None
    assert missed.deadline <= missed.closed_at < missed.deadline + 5, "the quorum closes at the deadline"
    assert all(clients[device.thing].turnaround_s is not None for device in failing)
    assert left == []
