from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from components.client.agent.conditions import Conditions, Unmet, unmet
from fedgrass.task import DeviceState

DEVICE = DeviceState(
    local_time=datetime(2026, 1, 1, 23, 30, tzinfo=UTC),
    load=0.1,
    cpu_count=4,
    memory_available_bytes=500_000_000,
    disk_available_bytes=2_000_000_000,
    temperature_c=61.4,
    on_mains=False,
    battery_percent=40.0,
    metered=True,
)


def reason(conditions: dict[str, Any], **device: Any) -> str | None:
    found = unmet(Conditions(**conditions), msgspec.structs.replace(DEVICE, **device))
    return found.reason if found else None


def test_without_conditions_a_device_may_always_train() -> None:
    assert reason({}) is None


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"hours": "00:00-06:00"}, "it is 23:30, outside 00:00-06:00 (hours)"),
        ({"max_temperature_c": 60}, "61 °C, over 60 (max_temperature_c)"),
        ({"min_battery_percent": 50}, "battery at 40 %, under 50 (min_battery_percent)"),
        ({"mains_only": True}, "the device runs on its battery (mains_only)"),
        ({"min_memory_mb": 800}, "500 MB of memory available, under 800 (min_memory_mb)"),
        ({"min_disk_mb": 4000}, "2000 MB of disk available, under 4000 (min_disk_mb)"),
        ({"unmetered_only": True}, "the network is metered (unmetered_only)"),
    ],
)
def test_a_condition_that_does_not_hold_is_named_with_the_value(conditions: dict[str, Any], expected: str) -> None:
    assert reason(conditions) == expected
    assert unmet(Conditions(**conditions), DEVICE) == Unmet(next(iter(conditions)), expected)


@pytest.mark.parametrize(
    ("conditions", "device"),
    [
        ({"max_temperature_c": 62}, {}),
        ({"min_battery_percent": 40}, {}),
        ({"min_battery_percent": 50}, {"on_mains": True}),
        ({"min_battery_percent": 50}, {"battery_percent": None}),
        ({"mains_only": True}, {"on_mains": True}),
        ({"mains_only": True}, {"on_mains": None, "battery_percent": None}),
        ({"min_memory_mb": 500, "min_disk_mb": 2000}, {}),
        ({"unmetered_only": True}, {"metered": False}),
    ],
)
def test_a_condition_that_holds_is_no_obstacle(conditions: dict[str, Any], device: dict[str, Any]) -> None:
    assert reason(conditions, **device) is None


@pytest.mark.parametrize(
    ("conditions", "device"),
    [({"max_temperature_c": 60}, {"temperature_c": None}), ({"unmetered_only": True}, {"metered": None})],
)
def test_what_linux_does_not_tell_is_not_taken_for_granted(conditions: dict[str, Any], device: dict[str, Any]) -> None:
    assert "this device does not" in (reason(conditions, **device) or "")


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "21:59", "12:00"]),
        ("9:00-17:30", ["09:00", "17:29"], ["08:59", "17:30", "00:00"]),
        ("12:00-13:00, 20:00-06:00", ["12:30", "20:00", "03:00"], ["13:00", "19:59"]),
        ("00:00-00:00", ["00:00", "13:37"], []),
    ],
)
def test_hours_are_windows_of_the_local_day(hours: str, inside: list[str], outside: list[str]) -> None:
    def at(text: str) -> str | None:
        hour, minute = map(int, text.split(":"))
        return reason({"hours": hours}, local_time=DEVICE.local_time.replace(hour=hour, minute=minute))

    assert [at(text) for text in inside] == [None] * len(inside)
    assert all(at(text) for text in outside)


@pytest.mark.parametrize("hours", ["22-6", "24:00-06:00", "22:00-06:60", "22:00", "22:00-06:00;", ","])
def test_hours_that_are_no_windows_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="write windows such as"):
        Conditions(hours=hours)
