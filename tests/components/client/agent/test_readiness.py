"""What the cloud is told of a device's conditions between rounds."""

import math
from datetime import UTC, datetime

from components.client.agent.conditions import Conditions
from components.client.agent.readiness import LOOK_S, Readiness
from fedgrass.task import DeviceState


class Device:
    """A device whose temperature changes; `looked` is how often it was read."""

    def __init__(self, conditions: Conditions) -> None:
        self.temperature, self.looked = 50.0, 0
        self.readiness = Readiness(conditions, self.read)

    def read(self) -> DeviceState:
        self.looked += 1
        return DeviceState(
            local_time=datetime(2026, 1, 1, tzinfo=UTC),
            load=0.0,
            cpu_count=1,
            memory_available_bytes=1,
            disk_available_bytes=1,
            temperature_c=self.temperature,
        )


COOL = Conditions(max_temperature_c=70.0)


def test_a_device_without_conditions_is_ready_and_never_looks_at_itself() -> None:
    device = Device(Conditions())
    assert device.readiness.look(0.0, busy=False)
    assert (device.looked, device.readiness.next_wake()) == (0, math.inf)


def test_a_change_is_told_once_and_nothing_else_is() -> None:
    device = Device(COOL)
    assert device.readiness.look(0.0, busy=False)
    assert not device.readiness.tick(LOOK_S - 1, busy=False)
    assert device.looked == 1
    assert not device.readiness.tick(LOOK_S, busy=False)
    device.temperature = 80.0
    assert device.readiness.next_wake() == 2 * LOOK_S
    assert device.readiness.tick(2 * LOOK_S, busy=False)
    assert not device.readiness.look(2 * LOOK_S, busy=False)
    assert not device.readiness.tick(3 * LOOK_S, busy=False)


def test_a_device_that_trains_is_no_judge_of_itself() -> None:
    device = Device(COOL)
    device.readiness.look(0.0, busy=False)
    device.temperature = 80.0
    assert device.readiness.look(1.0, busy=True), "when it tells how many examples it has"
    assert not device.readiness.tick(1.0 + LOOK_S, busy=True)
    assert device.readiness.tick(1.0 + 2 * LOOK_S, busy=False)


def test_other_conditions_are_told_of_at_once() -> None:
    device = Device(Conditions())
    device.readiness.look(0.0, busy=False)
    device.temperature = 80.0
    device.readiness.change(COOL, 5.0)
    assert device.readiness.next_wake() == 5.0
    assert device.readiness.tick(5.0, busy=False)
    assert not device.readiness.look(5.0, busy=False)
    device.readiness.change(Conditions(), 6.0)
    assert device.readiness.tick(6.0, busy=False)
    assert device.readiness.look(6.0, busy=False)
    assert device.readiness.next_wake() == math.inf
