"""Runs of an experiment, several at a time, each in a process of one thread: which one does a run changes no bit."""

import selectors
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from cli.experiments.runs import PlannedRun
from cli.experiments.worker_messages import Answer, ComputedApart, RoundEnded, RunFailed, RunRequest
from reporting.records import RoundLine
from simulation.child_process import ChildProcess

OUTPUT = "output.log"
STOP_S = 20.0
"""So long may processes take to save what they have. They can be killed at any moment: then the last second is lost."""


class Watcher(Protocol):
    """Is told how runs go."""

    def begun(self, run: PlannedRun) -> None:
        """A run has."""
        ...

    def computed_apart(self, run: PlannedRun, reason: str) -> None:
        """Its clients can't be trained at once, as they were to be."""
        ...

    def round_ended(self, run: PlannedRun, line: RoundLine) -> None:
        """A round of it has. What this raises stops all runs."""
        ...

    def ended(self, run: PlannedRun, failure: str | None) -> None:
        """A run has, or can't go on for this reason."""
        ...


class _Worker(ChildProcess[RunRequest, Answer]):
    def __init__(self, output: IO[bytes]) -> None:
        super().__init__("cli.experiments.worker", Answer, output)
        self.run: PlannedRun | None = None


def run_all(
    runs: Sequence[PlannedRun],
    request_of: Callable[[PlannedRun], RunRequest],
    jobs: int,
    out: Path,
    watcher: Watcher,
) -> dict[Path, str]:
    """Carries these runs through, in this order, so many at a time; returns which failed, by their folders, and why.
    What tasks print goes to a file in `out`. An exception, as Ctrl-C is, ends all in order: the runs can be gone on
    with."""
    waiting = deque(runs)
    failures: dict[Path, str] = {}
    with (
        (out / OUTPUT).open("ab", buffering=0) as output,
        selectors.DefaultSelector() as selector,
        _workers(min(jobs, len(runs)), output) as workers,
    ):

        def give(worker: _Worker) -> None:
            worker.run = waiting.popleft() if waiting else None
            if worker.run is not None:
                watcher.begun(worker.run)
                worker.say(request_of(worker.run))

        for worker in workers:
            selector.register(worker.answers, selectors.EVENT_READ, worker)
            give(worker)
        while any(worker.run for worker in workers):
            for key, _ in selector.select():
                worker = key.data
                run = worker.run
                answer = worker.hear()
                if isinstance(answer, ComputedApart):
                    watcher.computed_apart(run, answer.reason)
                    continue
                if isinstance(answer, RoundEnded):
                    watcher.round_ended(run, answer.line)
                    continue
                failure = answer.reason if isinstance(answer, RunFailed) else None
                if answer is None:
                    selector.unregister(worker.answers)
                    failure = worker.ending(OUTPUT)
                    worker.start()
                    selector.register(worker.answers, selectors.EVENT_READ, worker)
                if failure is not None:
                    failures[run.out] = failure
                watcher.ended(run, failure)
                give(worker)
    return failures


@contextmanager
def _workers(count: int, output: IO[bytes]) -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        while len(workers) < count:
            workers.append(_Worker(output))
        yield workers
    except BaseException:
        busy = [worker for worker in workers if worker.run is not None]
        for worker in busy:
            worker.ask_to_end()
        until = time.monotonic() + STOP_S
        for worker in busy:
            worker.has_ended(max(0.0, until - time.monotonic()))
        raise
    finally:
        for worker in workers:
            worker.end()
