"""What Linux says of the processes that it has killed for lack of memory."""

from pathlib import Path


def count(vmstat: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes Linux has killed for lack of memory since it started, None if it does not tell."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
