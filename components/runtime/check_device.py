"""Says what is in the way of an installation before it begins, and ends with 1 then:

    check_device.py TORCH ENVIRONMENT

TORCH is cpu or cuda, ENVIRONMENT what an earlier try left of the environment, if it did.
"""

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

NEWEST_PYTHON = (3, 14)
OLDEST_GLIBC = (2, 28)
"""Of which there are wheels; torch's are the pickiest."""

NEEDED_MB = {("cpu", "aarch64"): 1000, ("cpu", "x86_64"): 1300, ("cuda", "x86_64"): 7500}
"""What the environment takes, and the wheel that is the largest beside it."""

_OWN = "or set python of the configuration to the Python of an environment of your own"
_MEGABYTE = 1e6


def obstacle(torch: str, environment: Path) -> str | None:
    """What is in the way; None if nothing is."""
    machine = platform.machine()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    newest = ".".join(map(str, NEWEST_PYTHON))
    if (torch, machine) not in NEEDED_MB:
        there = ", ".join(f"{build} on {of}" for build, of in NEEDED_MB)
        return f"there is no torch: {torch} for {machine}, but {there}: set torch of the configuration, {_OWN}"
    if sys.maxsize < 2**32:
        return f"python3 is of 32 bits, for which torch has no wheels: install a 64-bit system, {_OWN}"
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return f"python3 is {sys.version!r}, for which there are no wheels: install the usual Python, {_OWN}"
    if sys.version_info[:2] > NEWEST_PYTHON:
        return f"python3 is Python {version}; there are wheels up to Python {newest}: install {newest}, {_OWN}"
    library, _, glibc = _c_library().partition(" ")
    if library != "glibc" or tuple(map(int, glibc.split(".")[:2])) < OLDEST_GLIBC:
        oldest = ".".join(map(str, OLDEST_GLIBC))
        return f"the C library is {_c_library() or 'not glibc'}; the wheels need glibc {oldest} or newer: {_OWN[3:]}"
    free_mb = shutil.disk_usage(".").free / _MEGABYTE
    needed_mb = NEEDED_MB[torch, machine] - _taken_bytes(environment) / _MEGABYTE
    if free_mb < needed_mb:
        return (
            f"the installation needs {needed_mb:.0f} MB in {Path.cwd()}, and {free_mb:.0f} MB are free: "
            "make room, or use a larger card"
        )
    return None


def _c_library() -> str:
    """Such as glibc 2.36."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        return ""


def _taken_bytes(directory: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*"))


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    torch, environment = arguments
    found = obstacle(torch, Path(environment))
    if found:
        sys.stderr.write(f"{found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
