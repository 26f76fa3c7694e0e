"""The process that has started this one."""

import ctypes
import logging
import signal

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


def die_with_the_parent() -> None:
    """Has Linux kill this process when its parent dies, however it does: what runs may be one long call of C."""
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        log.debug("this system does not kill processes with their parents")
