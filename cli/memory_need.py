"""What a sandbox takes of this machine's memory, as far as that can be told before it starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

_ALONE_MB = 1500
"""The embedded AWS, its functions, and the processes that score and follow a federation."""

_DEVICE_MB = 320
"""A device's agent, and its training process with torch and a small model."""

_CGROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Of version 2, and of version 1."""


class NotEnoughMemoryError(Exception):
    """This machine can't have so many devices."""


class Memory(NamedTuple):
    """Of this machine, or of this container: all that it may use, and what of it is free."""

    total_mb: float
    free_mb: float


def warning(devices: int, memory: Memory) -> str | None:
    """What to say if so many devices are likely to take more than is free.

    Raises:
        NotEnoughMemoryError: it is more than there is at all.
    """
    needed_mb = _ALONE_MB + devices * _DEVICE_MB
    if needed_mb <= memory.free_mb:
        return None
    fitting = int((memory.free_mb - _ALONE_MB) // _DEVICE_MB)
    fewer = f"--devices {fitting} fits; " if fitting >= 1 else ""
    text = (
        f"{devices} devices take about {needed_mb / 1024:.1f} GB of memory, and this machine has "
        f"{memory.free_mb / 1024:.1f} GB free: {fewer}fedgrass simulate needs a fraction of it"
    )
    if needed_mb > memory.total_mb:
        raise NotEnoughMemoryError(text)
    return text


def memory(cgroup: Path = Path("/sys/fs/cgroup")) -> Memory:
    """What there is now."""
    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    for limit, used in _limits(cgroup):
        total, free = min(total, limit), min(free, limit - used)
    return Memory(total / 2**20, free / 2**20)


def _limits(cgroup: Path) -> Iterator[tuple[int, int]]:
    for limit, used in _CGROUPS:
        try:
            yield int((cgroup / limit).read_text()), int((cgroup / used).read_text())
        except (OSError, ValueError):  # another version's, or no limit: "max"
            continue
