"""The fedgrass command, given in this process."""

import contextlib
import io
import json
import os
from typing import Any, NamedTuple
from unittest.mock import patch

from cli.main import main


class Ran(NamedTuple):
    """How it ended, and what it printed."""

    status: int
    out: str
    error: str

    @property
    def envelope(self) -> Any:
        """The one line on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def result(self) -> Any:
        """What the command found, in the envelope."""
        return self.envelope["result"]


def fedgrass(*words: str, **environment: str) -> Ran:
    """Give a command, with these variables in its environment."""
    out, error = io.StringIO(), io.StringIO()
    status = None
    with patch.dict(os.environ, environment), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main(words)
        except SystemExit as ended:
            status = ended.code
    assert isinstance(status, int)
    return Ran(status, out.getvalue(), error.getvalue())
