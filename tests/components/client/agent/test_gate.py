import math
from datetime import UTC, datetime

import pytest

from components.client.agent.conditions import Conditions
from components.client.agent.gate import RECHECK_S, TASK_RECHECK_S, Gate, Policy
from fedgrass.task import DeviceState
from protocol.messages import Assignment, ModelReference, Progress, Training

ASSIGNMENT = Assignment(
    round=4,
    model=ModelReference(key="k", sha256="a" * 64, bytes=1),
    training=Training(batch_size=1, learning_rate=1.0),
    deadline=1e9,
)


class Device:
    """A device whose temperature changes, and what it has begun to train."""

    def __init__(self, *, wait: bool, limit: float = 70.0) -> None:
        self.temperature = 50.0
        self.started: list[Assignment] = []
        self.gate = Gate(Policy(conditions=Conditions(max_temperature_c=limit), wait=wait), self.read, self.start)

    def read(self) -> DeviceState:
        return DeviceState(
            local_time=datetime(2026, 1, 1, tzinfo=UTC),
            load=0.0,
            cpu_count=1,
            memory_available_bytes=1,
            disk_available_bytes=1,
            temperature_c=self.temperature,
        )

    def start(self, assignment: Assignment) -> None:
        self.started.append(assignment)


@pytest.mark.parametrize("wait", [True, False])
def test_a_device_that_is_ready_starts_at_once(wait: bool) -> None:
    device = Device(wait=wait)
    assert device.gate.submit(ASSIGNMENT, 0.0) is None
    assert device.started == [ASSIGNMENT]
    assert device.gate.next_wake() == math.inf


def test_a_device_that_is_not_ready_declines_with_the_reason() -> None:
    device = Device(wait=False)
    device.temperature = 80.0
    expected = Progress(round=4, phase="declined", reason="80 °C, over 70 (max_temperature_c)")
    assert device.gate.submit(ASSIGNMENT, 0.0) == expected
    assert (device.started, device.gate.next_wake()) == ([], math.inf)


def test_a_device_that_is_to_wait_starts_when_the_condition_holds() -> None:
    device = Device(wait=True)
    device.temperature = 80.0
    waiting = Progress(round=4, phase="accepted", reason="waiting: 80 °C, over 70 (max_temperature_c)")
    assert device.gate.submit(ASSIGNMENT, 0.0) == waiting
    assert device.gate.next_wake() == RECHECK_S
    device.temperature = 75.0
    assert device.gate.tick(RECHECK_S) is None
    device.temperature = 70.0
    assert device.gate.tick(2 * RECHECK_S - 0.1) is None
    assert device.started == []
    assert device.gate.tick(2 * RECHECK_S) is None
    assert device.started == [ASSIGNMENT]


def test_the_reason_is_told_again_when_it_is_another_one() -> None:
    device = Device(wait=True)
    device.temperature = 80.0
    device.gate.submit(ASSIGNMENT, 0.0)
    device.gate.change(Policy(conditions=Conditions(min_disk_mb=1), wait=True), 3.0)
    told = device.gate.tick(3.0)
    assert told is not None
    assert told.reason == "waiting: 0 MB of disk available, under 1 (min_disk_mb)"


def test_what_is_called_off_while_it_waits_is_not_started() -> None:
    device = Device(wait=True)
    device.temperature = 80.0
    device.gate.submit(ASSIGNMENT, 0.0)
    device.gate.cancel()
    device.temperature = 50.0
    assert device.gate.next_wake() == math.inf
    assert device.gate.tick(1e9) is None
    assert device.started == []


def test_a_task_that_is_not_ready_is_asked_again_if_the_device_is_to_wait() -> None:
    device = Device(wait=True)
    device.gate.submit(ASSIGNMENT, 0.0)
    told = device.gate.on_not_ready(10.0)
    assert told == Progress(round=4, phase="accepted", reason="waiting: not ready, says the task")
    assert device.gate.tick(10.0 + TASK_RECHECK_S) is None
    assert device.started == [ASSIGNMENT, ASSIGNMENT]


def test_a_task_that_is_not_ready_declines_otherwise() -> None:
    device = Device(wait=False)
    device.gate.submit(ASSIGNMENT, 0.0)
    expected = Progress(round=4, phase="declined", reason="not ready, says the task")
    assert device.gate.on_not_ready(10.0) == expected
    assert device.gate.next_wake() == math.inf
