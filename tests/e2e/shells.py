"""What a user has open beside a run: its output, and another shell."""

import json
import queue
import subprocess
import sys
import threading
import time
from typing import Any

from tests.paths import ROOT

LIMIT_S = 240.0


class Output:
    """What a command says, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.seen: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def until(self, beginning: str) -> str:
        """The next line that begins so."""
        limit = time.monotonic() + LIMIT_S
        while True:
            line = self._lines.get(timeout=limit - time.monotonic())
            assert line, f"it ended without {beginning!r}: {self.seen}"
            self.seen.append(line)
            if line.startswith(beginning):
                return line.rstrip("\n")

    def rest(self) -> str:
        """All that is left, at its end."""
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        self.process.wait(LIMIT_S)
        self._thread.join()
        lines = []
        while line := self._lines.get():
            lines.append(line)
        return "".join(lines) + errors

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")


class Shell:
    """Another shell, into which the line has been pasted that a run or a sandbox shows."""

    def __init__(self, environment: dict[str, str], line: str) -> None:
        self._environment = environment
        self._line = line

    def fedgrass(self, *words: str) -> Any:
        """The result of a command."""
        script = f'{self._line}\nexec "$0" -m cli.main "$@" --json'
        ran = subprocess.run(
            ["/bin/sh", "-c", script, sys.executable, *words],
            cwd=ROOT,
            env=self._environment | {"AWS_SESSION_TOKEN": "that-of-other-credentials"},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)["result"]
