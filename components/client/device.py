"""What Linux tells of this device: load, memory, disk, temperature, power, network; and what it says when it joins."""

import contextlib
import logging
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from components.client import __version__
from fedgrass.task import DeviceState
from protocol.messages import Hello

log = logging.getLogger(__name__)

_METERED = (
    "busctl",
    "get-property",
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "Metered",
)
"""Asks NetworkManager over D-Bus: https://networkmanager.dev/docs/api/latest/nm-dbus-types.html#NMMetered."""
_IS_METERED = {"u 1": True, "u 2": False, "u 3": True, "u 4": False}  # 3 and 4 are its guesses, 0 is unknown
_ANSWER_S = 2.0

SOCKET_VARIABLE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
"""The environment's name for the nucleus's socket."""

_SOCKET_OF_LITE = "gg-ipc.socket"
_VERSION = re.compile(r"[!-~]{1,40}")


def read(work: Path, root: Path = Path("/")) -> DeviceState:
    """The state of this device, now. `work` lies on the disk that counts; `root` is where /proc and /sys are."""
    on_mains, battery = _power(root / "sys/class/power_supply")
    return DeviceState(
        local_time=datetime.now().astimezone(),
        load=os.getloadavg()[0],
        cpu_count=os.cpu_count() or 1,
        memory_available_bytes=_memory_available_bytes(root / "proc/meminfo"),
        disk_available_bytes=_disk_available_bytes(work),
        temperature_c=_temperature_c(root / "sys/class/thermal"),
        on_mains=on_mains,
        battery_percent=battery,
        metered=_metered(),
    )


def _memory_available_bytes(path: Path) -> int:
    """What a process could have without swapping, caches that can be dropped included, as Linux estimates it."""
    for line in path.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _disk_available_bytes(directory: Path) -> int:
    """What a user without privileges can still write there."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def _temperature_c(directory: Path) -> float | None:
    """That of the hottest zone; zones that cannot be read just now do not count."""
    readings = _numbers(zone / "temp" for zone in directory.glob("thermal_zone*"))
    return max(readings) / 1000 if readings else None


def _power(directory: Path) -> tuple[bool | None, float | None]:
    """Whether the device is on mains, and its emptiest battery's charge in percent; batteries of things that are
    attached (a mouse) do not count."""
    supplies = [(_text(supply / "type"), supply) for supply in directory.glob("*")]
    batteries = [path for kind, path in supplies if kind == "Battery" and _text(path / "scope") != "Device"]
    plugged = _numbers(path / "online" for kind, path in supplies if kind in ("Mains", "USB"))
    charges = _numbers(path / "capacity" for path in batteries)
    on_mains: bool | None = None
    if plugged:
        on_mains = any(plugged)
    elif charges:
        on_mains = all(_text(path / "status") != "Discharging" for path in batteries)
    return on_mains, min(charges, default=None)


def _metered() -> bool | None:
    try:
        answer = subprocess.run(_METERED, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("cannot ask NetworkManager: %s", error)
        return None
    return _IS_METERED.get(answer.stdout.strip())


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None  # this kernel or driver does not tell


def _numbers(paths: Iterable[Path]) -> list[float]:
    """What these files hold; one that cannot be read just now, or holds no number, does not count."""
    numbers = []
    for text in map(_text, paths):
        with contextlib.suppress(ValueError):
            if text is not None:
                numbers.append(float(text))
    return numbers


def hello(examples: int | None, *, ready: bool | None = None) -> Hello:
    """This device; `examples` is None until the task's data has been loaded."""
    return Hello(
        component_version=__version__,
        architecture=os.uname().machine,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cpu_count=os.cpu_count() or 1,
        examples=examples,
        nucleus=nucleus_of(os.environ),
        ready=ready,
    )


def nucleus_of(environment: Mapping[str, str]) -> str | None:
    """Which nucleus has started this process, by what it gives components: both have versions 2.x, and the name of its
    socket tells them apart."""
    socket = environment.get(SOCKET_VARIABLE)
    if socket is None:
        return None
    kind = "lite" if Path(socket).name == _SOCKET_OF_LITE else "classic"
    version = environment.get("GGC_VERSION", "")
    return f"{kind} {version}" if _VERSION.fullmatch(version) else kind
