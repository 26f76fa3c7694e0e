"""Devices that die in the middle of a federation: rounds end all the same."""

from pathlib import Path

import psutil
import pytest

from cli import digits
from cli.demo import EXAMPLE, build_component, init_federation
from cli.project import load
from cli.split import Split, write_shards
from sandbox.federated_run import View, run_rounds, wait_for_clients
from sandbox.sandbox import Sandbox

THINGS = ["one", "three", "two"]


@pytest.mark.timeout(240)
def test_rounds_end_while_agents_and_devices_die(tmp_path: Path) -> None:
    project = load(EXAMPLE, rounds=4, deadline_s=25)
    shards = write_shards(digits.packaged(), tmp_path / "shards", THINGS, Split("iid"), 0)
    done: set[int] = set()
    with Sandbox() as sandbox:
        component = build_component(project, sandbox.path / "build")
        init_federation(project, sandbox)
        with sandbox.fleet(component, project.settings, shards.clients, threads=1) as fleet:
            device = fleet.devices["two"]
            wait_for_clients(sandbox.operations, "digits", fleet)

            def break_something(view: View) -> None:
                if view.round in done:
                    return
                done.add(view.round)
                if view.round == 2:
                    device.kill_component()
                elif view.round == 3:
                    device.power_off()
                elif view.round == 4:
                    device.power_on()

            agents_before = {device.pid for device in fleet.devices.values()}
            figures = run_rounds(sandbox, sandbox.operations, "digits", look=break_something)
            agents_after = {device.pid for device in fleet.devices.values()}
            rounds = [sandbox.operations.rounds.get("digits", number) for number in (1, 2, 3, 4)]
            clients = {client.thing: client for client in sandbox.operations.clients.of("digits")}
        left = [pid for pid in agents_before | agents_after if pid is not None and psutil.pid_exists(pid)]

    assert [record.status for record in rounds] == ["closed"] * 4
    assert [figure.accepted for figure in figures][:3] == [3, 3, 2], "a killed agent comes back in its round"
    assert len(agents_after - agents_before) == 1, "only the device that died has a new agent"
    missed = rounds[2]
    assert missed.closed_at is not None
    assert missed.deadline <= missed.closed_at < missed.deadline + 5, "the quorum closes at the deadline"
    assert clients["two"].turnaround_s is not None
    assert left == []
