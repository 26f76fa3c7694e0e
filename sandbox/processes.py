"""Ending processes for certain."""

import contextlib
import os
import signal


def kill_group(pid: int) -> None:
    """SIGKILL every process of the group that `pid` leads or led; none left is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
