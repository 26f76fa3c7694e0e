"""Has `fedgrass check` look at a task before it is built, where there is this command.

As components/build.py, this runs with any Python from 3.9 on, and the standard library alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from components.text import printable

_ROOT = Path(__file__).resolve().parent.parent
_ERRORS = 2
"""What the command ends with if the task has errors."""


def is_faulty(task: Path) -> bool:
    """Whether a task has errors for which it should not be built; the command says which. Where it can't be asked, one
    line says so, and how to ask later."""
    own = _ROOT / ".venv" / "bin" / "fedgrass"
    command = str(own) if own.exists() else shutil.which("fedgrass")
    reason = None
    if not (task / "federation.yaml").is_file():
        reason = "there is no federation.yaml beside it"
    elif command is None:
        reason = "the fedgrass command is not installed here"
    else:
        status = subprocess.run([command, "check", str(task)], check=False).returncode
        if status in (0, _ERRORS):
            return status == _ERRORS
        reason = f"{command} ended with status {status}"
    sys.stderr.write(f"{printable(str(task))} was not tried out: {printable(reason)}; see to it by fedgrass check\n")
    return False
