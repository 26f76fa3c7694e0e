"""Scores global models on data that no client has, in a process of its own: it needs torch, the sandbox doesn't.

Run as `python -m sandbox.scoring TASK DIRECTORY`; a line {"model": path} on its standard input is answered by a line
{"metrics": {...}} or {"error": "..."} on its standard output.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from protocol.messages import Numbers


class ScoringError(Exception):
    """A model could not be scored."""


class _Request(msgspec.Struct):
    model: str


class _Answer(msgspec.Struct):
    metrics: Numbers = {}
    error: str | None = None


class Scorer:
    """The process, for the time of a `with` block. `score` answers calls one at a time."""

    def __init__(self, task: Path, directory: Path) -> None:
        self._command = [sys.executable, "-m", "sandbox.scoring", str(task), str(directory)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def score(self, model: Path) -> Numbers:
        """The metrics that the task's evaluate gives; None is one that is not finite.

        Raises:
            ScoringError: it gives none; the text says why.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise ScoringError("the scoring process has no pipes")
        try:
            self._process.stdin.write(msgspec.json.encode(_Request(str(model))) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ScoringError("the scoring process has ended") from error
        line = self._process.stdout.readline()
        if not line:
            raise ScoringError("the scoring process has ended")
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error is not None:
            raise ScoringError(answer.error)
        return answer.metrics


def main() -> None:
    """Score until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a task prints is no answer
    from components.client import state_dict
    from components.client.loading import TaskError, load_task, reportable
    from components.client.task import Client
    from protocol.tensors import InvalidTensorsError, parse_header

    try:
        task = load_task(Path(sys.argv[1]))
        network = task.build_model()
        data = task.load_data(Path(sys.argv[2]), Client(thing="scorer", federation="scorer"))
    except TaskError as error:
        answers.write(msgspec.json.encode(_Answer(error=str(error))) + b"\n")
        return
    for line in sys.stdin.buffer:
        try:
            content = bytearray(Path(msgspec.json.decode(line, type=_Request).model).read_bytes())
            header = parse_header(content, len(content))
            state_dict.load(network, header, state_dict.views(header, content))
            answer = _Answer(metrics=reportable(task.evaluate(network, data)))
        except (OSError, InvalidTensorsError, TaskError) as error:
            answer = _Answer(error=str(error))
        answers.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
