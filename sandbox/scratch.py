"""A temporary directory that goes away when this process ends, however it ends."""

import logging
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)


class Scratch:
    """A directory with a short path, for the time of a `with` block, and a small process that watches over it.

    When the block ends, or this process does (SIGKILL included), every process that was started with its TMPDIR or its
    Greengrass socket in the directory is killed, and the directory is removed.
    """

    path: Path

    def __enter__(self) -> Self:
        # The janitor comes before the directory, so that there is no moment at which one is left behind. It has a
        # session of its own, so that Ctrl-C doesn't reach it; -I and -S keep it at a few MB.
        self.path = Path(tempfile.gettempdir()).resolve() / f"fedgrass-{secrets.token_hex(4)}"
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", Path(__file__).with_name("janitor.py"), self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.path.mkdir(mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._janitor.stdin is not None:
            self._janitor.stdin.close()
        status = self._janitor.wait()
        if status != 0:
            logger.warning("%s could not be cleaned up: status %d", self.path, status)
