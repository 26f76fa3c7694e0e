"""Experiment trackers, told of each round as it ends: MLflow, TensorBoard, Weights & Biases.

A tracker is code of others: it may ask for a password, wait for its server for minutes, or end its process. So it has a
process of its own, and whatever becomes of that, the run goes on.
"""

import importlib.util
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from cloud.settings import Federation
from reporting.records import RoundLine, Summary
from reporting.tracking_process import Begin, TrackerName

END_LIMIT_S = 30.0
"""How long the end of a run waits for its tracker."""

_OUTPUT_BYTES = 2000


class MissingTrackerError(Exception):
    """The tracker's package is not installed; the text says how it is."""


def check_installed(name: TrackerName | None) -> None:
    """Pass if there is such a tracker, or none is asked for.

    Raises:
        MissingTrackerError: see there.
    """
    if name is not None and importlib.util.find_spec(name) is None:
        raise MissingTrackerError(f"{name} is not installed where fedgrass is: pip install {name}")


@contextmanager
def tracking(
    name: TrackerName | None, folder: Path, summary: Summary, settings: Federation, warn: Callable[[str], None]
) -> Iterator[Callable[[RoundLine], None]]:
    """A function that tells the tracker of this name of a round that has ended; without a name it does nothing. A run
    that goes on after an interruption goes on in the tracker as well. `warn` is called if the tracker fails, once.

    Raises:
        MissingTrackerError: see there.
    """
    if name is None:
        yield lambda _: None
        return
    check_installed(name)
    begin = Begin(tracker=name, folder=str(folder.absolute()), summary=summary, settings=settings)
    with tempfile.TemporaryFile() as output:
        process = _Process(begin, output, warn)
        try:
            yield process.lines.put
        finally:
            process.end()


class _Process:
    """The tracker's process, and a thread that gives it the `lines`: it may take none for minutes, and a pipe is soon
    full."""

    def __init__(self, begin: Begin, output: IO[bytes], warn: Callable[[str], None]) -> None:
        self.lines: queue.SimpleQueue[RoundLine | None] = queue.SimpleQueue()
        self._begin = begin
        self._output = output
        self._warn = warn
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "reporting.tracking_process"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the run, whose last rounds the tracker is still to have
        )
        self._feeder = threading.Thread(target=self._feed, name="tracking", daemon=True)
        self._feeder.start()

    def end(self) -> None:
        """Return when it has been told of all rounds, or has failed, or the limit is reached."""
        until = time.monotonic() + END_LIMIT_S
        self.lines.put(None)
        self._feeder.join(END_LIMIT_S)
        try:
            status = self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._warn(
                f"{self._begin.tracker} has not taken all rounds {END_LIMIT_S:g} s after the last one: it is ended"
            )
        else:
            if status:
                self._warn(f"{self._begin.tracker} was not told of all rounds: {self._last_words(status)}")
        self._feeder.join()

    def _feed(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError), stdin:  # it has ended; its status tells why
            said: Begin | RoundLine | None = self._begin
            while said is not None:
                stdin.write(msgspec.json.encode(said) + b"\n")
                stdin.flush()
                said = self.lines.get()

    def _last_words(self, status: int) -> str:
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _OUTPUT_BYTES))
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its process ended with status {status}"
