"""A fedgrass command that another one gives, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.errors.kind import RelayedError
from cli.errors.table import INTERNAL

_ROOT = Path(__file__).parent.parent
_LONGEST_TEXT = 2000


def relay(command: str, *arguments: str, environment: Mapping[str, str]) -> Any:
    """The command's result; `environment` is added to this process's own.

    Raises:
        RelayedError: the command failed.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", command, *arguments, "--json"],
        env=os.environ | environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if not ran.returncode:
        return json.loads(ran.stdout)["result"]
    if not ran.stdout:  # it was killed
        said = ran.stderr.strip()[-_LONGEST_TEXT:]
        text = f"fedgrass {command} ended with status {ran.returncode}: {said}"
        raise RelayedError(INTERNAL.code, INTERNAL.exit_code, text)
    told = json.loads(ran.stdout)
    raise RelayedError(told["error"]["code"], told["exit_code"], f"fedgrass {command}: {told['error']['message']}")
