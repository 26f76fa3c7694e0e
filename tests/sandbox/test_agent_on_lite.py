"""The agent itself on a device with nucleus lite, whose daemons restart: a real broker, real shadows, real IPC."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.client.agent import configuration, service
from components.client.agent.ipc import Ipc
from components.client.agent.service import Service
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from tests.sandbox.probe import LIMIT_S, Probe
from tests.sandbox.raw import SOCKET

FEDERATION = "daemons"

Withdraw = Callable[[int], None]


@pytest.fixture
def agent(
    lite_probe: Probe, lite_device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[threading.Thread]:
    """The agent's loop, in the place of the component that is deployed."""
    monkeypatch.setattr("components.client.agent.connection.FIRST_WAIT_S", 1.0)
    for name, value in lite_probe.call("environment")["variables"].items():
        if name in {"SVCUID", SOCKET}:
            monkeypatch.setenv(name, value)
    lite_device.configure({"federation": FEDERATION, "bucket": "none", "reconcile_s": 1})
    events: queue.SimpleQueue[service.Event] = queue.SimpleQueue()
    connection = Ipc(events.put)
    connection.watch_configuration()
    settings = configuration.parse(connection.configuration())

    def live() -> None:
        Service(settings, lite_device.thing, tmp_path, tmp_path, connection, events).run()
        connection.close()

    thread = threading.Thread(target=live)
    thread.start()
    yield thread
    lite_device.configure({"federation": "another"})  # which ends a service
    thread.join(LIMIT_S)
    assert not thread.is_alive()


@pytest.fixture
def withdraw(aws: EmbeddedAws) -> Withdraw:
    """Changes the shadow, and comes back when the agent has reported that."""
    data = aws.client("iot-data")
    shadow = {"thingName": "thing-2", "shadowName": f"fedgrass-{FEDERATION}"}

    def reported() -> Any:
        document = json.loads(data.get_thing_shadow(**shadow)["payload"].read())
        return document["state"].get("reported", {}).get("withdrawn")

    def change(withdrawn: int) -> None:
        data.update_thing_shadow(**shadow, payload=json.dumps({"state": {"desired": {"withdrawn": withdrawn}}}))
        for _ in range(600):
            if reported() == withdrawn:
                return
            threading.Event().wait(0.1)
        raise AssertionError(f"the agent has not reported {withdrawn}")

    return change


def test_an_agent_whose_subscriptions_go_silent_hears_again(
    agent: threading.Thread, withdraw: Withdraw, lite_device: Device
) -> None:
    for number in (1, 2, 3):
        withdraw(number)
        lite_device.restart_mqtt_daemon()
    withdraw(4)


def test_an_agent_takes_up_a_configuration_that_it_is_not_told_of(
    agent: threading.Thread, withdraw: Withdraw, lite_device: Device
) -> None:
    withdraw(5)
    lite_device.restart_configuration_daemon()
    lite_device.configure({"federation": "another"})
    agent.join(LIMIT_S)
    assert not agent.is_alive()


def test_an_agent_on_a_dead_line_is_heard_again_when_the_line_is_back(
    agent: threading.Thread, withdraw: Withdraw, lite_device: Device
) -> None:
    withdraw(6)
    lite_device.kill_line()
    lite_device.restore_connection()
    withdraw(7)
    lite_device.cut_connection()
    lite_device.restore_connection()
    withdraw(8)
