"""When a device may train, as the configuration says: pure functions of the device's state."""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from fedgrass.task import DeviceState

_WINDOW = re.compile(r"\s*([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)\s*")
_MB = 1e6

Positive = Annotated[float, msgspec.Meta(gt=0)]
Percent = Annotated[float, msgspec.Meta(gt=0, le=100)]


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What has to hold; None, "" and False ask for nothing. `hours` are windows of the device's local time, such as
    "22:00-06:00" or "12:00-13:30, 20:00-06:00"; the end is not part of a window."""

    hours: str = ""
    max_temperature_c: Positive | None = None
    min_battery_percent: Percent | None = None
    mains_only: bool = False
    min_memory_mb: Positive | None = None
    min_disk_mb: Positive | None = None
    unmetered_only: bool = False

    def __post_init__(self) -> None:
        _windows(self.hours)


class Unmet(msgspec.Struct, frozen=True):
    """A condition that does not hold: its name, and a text with the value that the device has."""

    condition: str
    reason: str


def unmet(conditions: Conditions, device: DeviceState) -> Unmet | None:
    """The first condition that does not hold now, None if the device may train.

    A limit on a value that Linux does not tell does not hold. But a device that shows no power supply, such as a
    Raspberry Pi, counts as on mains.
    """
    checks = (
        ("hours", _hours(conditions, device)),
        ("max_temperature_c", _temperature(conditions, device)),
        ("min_battery_percent", _battery(conditions, device)),
        (
            "mains_only",
            "the device runs on its battery" if conditions.mains_only and device.on_mains is False else None,
        ),
        ("min_memory_mb", _available("memory", device.memory_available_bytes, conditions.min_memory_mb)),
        ("min_disk_mb", _available("disk", device.disk_available_bytes, conditions.min_disk_mb)),
        ("unmetered_only", _metered(conditions, device)),
    )
    return next((Unmet(name, f"{text} ({name})") for name, text in checks if text is not None), None)


def _hours(conditions: Conditions, device: DeviceState) -> str | None:
    windows = _windows(conditions.hours)
    if not windows or any(_within(device.local_time, *window) for window in windows):
        return None
    return f"it is {device.local_time:%H:%M}, outside {conditions.hours}"


def _temperature(conditions: Conditions, device: DeviceState) -> str | None:
    limit = conditions.max_temperature_c
    if limit is None:
        return None
    if device.temperature_c is None:
        return "this device does not show its temperature"
    return f"{device.temperature_c:.0f} °C, over {limit:g}" if device.temperature_c > limit else None


def _battery(conditions: Conditions, device: DeviceState) -> str | None:
    limit, charge = conditions.min_battery_percent, device.battery_percent
    if limit is None or charge is None or device.on_mains:
        return None
    return f"battery at {charge:.0f} %, under {limit:g}" if charge < limit else None


def _available(what: str, available_bytes: int, limit_mb: float | None) -> str | None:
    if limit_mb is None or available_bytes >= limit_mb * _MB:
        return None
    return f"{available_bytes / _MB:.0f} MB of {what} available, under {limit_mb:g}"


def _metered(conditions: Conditions, device: DeviceState) -> str | None:
    if not conditions.unmetered_only or device.metered is False:
        return None
    return "the network is metered" if device.metered else "this device does not tell whether its network is metered"


def _windows(hours: str) -> list[tuple[int, int]]:
    """The windows in minutes of the day.

    Raises:
        ValueError: it is not a list of windows.
    """
    if not hours.strip():
        return []
    windows = []
    for part in hours.split(","):
        match = _WINDOW.fullmatch(part)
        if match is None:
            raise ValueError(f'hours {hours!r}: write windows such as "22:00-06:00", with commas between them')
        first_h, first_m, last_h, last_m = map(int, match.groups())
        windows.append((60 * first_h + first_m, 60 * last_h + last_m))
    return windows


def _within(time: datetime, first: int, last: int) -> bool:
    minute = 60 * time.hour + time.minute
    return first <= minute < last if first < last else minute >= first or minute < last
