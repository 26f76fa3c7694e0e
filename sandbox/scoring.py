"""Scores global models on data that no client has: in a process of its own, since that needs torch, the sandbox
doesn't, and a task may do what it likes to its process.

Run as `python -m sandbox.scoring TASK HELD-OUT-DATA SEED`. It says on its standard output, in lines of JSON, {"step":
"..."} before each step, {"ready": true} when the data is loaded, and then for each line {"model": path} on its standard
input {"metrics": {...}}; or {"error": "..."}.
"""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from components.client.trainer import memory
from protocol.messages import Numbers

STEP_LIMIT_S = 120.0
"""How long each step may take. Devices have no such limit, but for a round's deadline."""

_OUTPUT_BYTES = 2000


class ScoringError(Exception):
    """The task can't be used, or a model could not be scored."""


class _Request(msgspec.Struct):
    model: str


class _Answer(msgspec.Struct):
    step: str | None = None
    ready: bool = False
    metrics: Numbers = {}
    error: str | None = None


class Scorer:
    """The process, for the time of a `with` block. It prepares itself meanwhile; `score` answers calls one at a time.
    `temporary` is a directory for the task's temporary files, `seed` the federation's: what of a model does not travel
    is made with it. No step may take longer than `limit_s`.
    """

    def __init__(
        self,
        task: Path,
        held_out: Path,
        temporary: Path,
        seed: int = 0,
        limit_s: float = STEP_LIMIT_S,
    ) -> None:
        arguments = map(str, (task, held_out, seed))
        self._command = [sys.executable, "-m", "sandbox.scoring", *arguments]
        self._temporary = temporary
        self._limit_s = limit_s
        self._step = "the start of Python"
        self._is_ready = False

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(self._temporary)},
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="scoring", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def score(self, model: Path) -> Numbers:
        """The metrics that the task's evaluate gives; None is one that is not finite.

        Raises:
            ScoringError: it gives none, or not within the limit; or the task does not load, has no model, or can't
                read the data; the text says what, and where.
        """
        if not self._is_ready:
            self._answer()
            self._is_ready = True
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(msgspec.json.encode(_Request(str(model))) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; what it said last tells why
        return self._answer().metrics

    def _answer(self) -> _Answer:
        """What the process says next that is no step."""
        until = time.monotonic() + self._limit_s
        while True:
            try:
                line = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise ScoringError(f"{self._step} has taken longer than {self._limit_s:g} s") from None
            if not line:
                self._answers.put(line)  # it is no less so the next time
                raise ScoringError(f"{self._step}: {self._ending()}")
            answer = msgspec.json.decode(line, type=_Answer)
            if answer.error is not None:
                raise ScoringError(answer.error)
            if answer.step is None:
                return answer
            self._step = answer.step
            until = time.monotonic() + self._limit_s

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")

    def _ending(self) -> str:
        """How the process has ended, and what it or the task wrote at last."""
        status = self._process.wait()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _OUTPUT_BYTES))
        output = self._output.read().decode(errors="replace").strip()
        return f"the process {how}" + (f"; its output was:\n{output}" if output else "")

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # what the task has started as well
        self._process.communicate()
        self._reader.join()
        self._output.close()


def main() -> None:
    """Try the task out, and score until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a task prints is no answer

    def say(answer: _Answer) -> None:
        answers.write(msgspec.json.encode(answer) + b"\n")

    def say_error(error: Exception) -> None:
        say(_Answer(error=str(error).encode(errors="backslashreplace").decode()))  # its text may hold half a character

    say(_Answer(step="the import of torch and task.py"))
    with memory.here_to_stay():
        from components.client.trainer.model import state_dict
        from components.client.trainer.task.loading import TaskError, load_task, reportable
        from fedgrass.task import Client
        from protocol.tensors import InvalidTensorsError, parse_header

    path, held_out = map(Path, sys.argv[1:3])
    try:
        task = load_task(path, lambda step: say(_Answer(step=step)))
        data = task.load_data(held_out, Client(thing="held-out", federation="held-out"))
        if not data.has_test:  # no client has any of it
            data = msgspec.structs.replace(data, test=data.train)
        network = task.build_model(int(sys.argv[3]))
    except TaskError as error:
        say_error(error)
        return
    say(_Answer(ready=True))
    for line in sys.stdin.buffer:
        try:
            content = bytearray(Path(msgspec.json.decode(line, type=_Request).model).read_bytes())
            header = parse_header(content, len(content))
            state_dict.load(network, header, state_dict.views(header, content))
            say(_Answer(metrics=reportable(task.evaluate(network, data))))
        except (OSError, InvalidTensorsError, TaskError) as error:
            say_error(error)


if __name__ == "__main__":
    main()
