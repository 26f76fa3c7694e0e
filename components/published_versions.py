"""Asks AWS for the versions of a component, where it can be asked.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone: the asking is done by a
Python that has boto3.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from components.text import printable

NEXT_PATCH = "NEXT_PATCH"
"""Has GDK take the version after the highest that is published."""

_ROOT = Path(__file__).resolve().parent.parent
_LIMIT_S = 30


def has(name: str, version: str, region: str) -> bool:
    """Whether AWS has this version. Where it can't be asked (offline, without credentials), one line says so, for a
    build needs no AWS."""
    if version == NEXT_PATCH:
        return False
    own = _ROOT / ".venv" / "bin" / "python"
    command = [str(own) if own.exists() else sys.executable, "-m", "operations.component_versions", name]
    try:
        asked = subprocess.run(
            [*command, *(["--region", region] if region else [])],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer in {_LIMIT_S} s"
    else:
        if asked.returncode == 0:
            return version in asked.stdout.split()
        reason = (asked.stderr.strip().splitlines() or [f"status {asked.returncode}"])[-1]
    sys.stderr.write(
        f"warning: AWS could not be asked whether {name} {version} is published already ({printable(reason)}): if so, "
        f'"gdk component publish" overwrites its artifacts; "{NEXT_PATCH}" as version in gdk-config.json never does\n'
    )
    return False
