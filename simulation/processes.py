"""The backend that computes clients in several processes: each has one thread of torch, and keeps the data of clients
that it has loaded. Who computes a client makes no difference to its update.

A client whose work ends the process has failed, as on a device; another process takes its place.
"""

import selectors
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from protocol.messages import Assignment
from simulation.backend import Done, NotDone, Work
from simulation.local_clients import Setup
from simulation.worker_messages import Begin, Compute, CountExamples, Examples, Model, Ready, Result, Unusable
from simulation.worker_process import WorkerProcess

_Request = CountExamples | Compute


class WorkersError(Exception):
    """The processes of the simulation can't work; the text says why."""


class ProcessesBackend:
    """Computes in so many processes.

    Raises:
        WorkersError: in any method: a process ends before it has begun, or the task cannot be loaded.
    """

    def __init__(self, setup: Setup, workers: int) -> None:
        self._setup = setup
        self.workers = [WorkerProcess() for _ in range(workers)]
        self._model: Model | None = None
        try:
            for worker in self.workers:
                worker.say(Begin(setup))
            for worker in self.workers:
                self._await_begin(worker)
        except BaseException:
            self.close()
            raise

    @property
    def at_once(self) -> int:
        """A client for each process."""
        return len(self.workers)

    def examples(self, things: Sequence[str]) -> dict[str, int | NotDone]:
        """See `Backend`."""
        answers = self._spread({thing: CountExamples(thing) for thing in things})
        counts: dict[str, int | NotDone] = {}
        for answer in answers:
            if not isinstance(answer, Done):
                counts[answer.thing] = answer.count if isinstance(answer, Examples) else answer
        return counts

    def compute(
        self, assignment: Assignment, model: bytes, average: bytes, work: Sequence[Work]
    ) -> Iterator[Done | NotDone]:
        """See `Backend`."""
        if self._model is None or model is not self._model.file or average is not self._model.average:
            self._model = Model(model, average)
            for worker in self.workers:
                worker.has_model = False
        for answer in self._spread({one.thing: Compute(assignment, one) for one in work}):
            if not isinstance(answer, Examples):
                yield answer

    def close(self) -> None:
        """Ends the processes."""
        for worker in self.workers:
            worker.end()

    def _spread(self, requests: Mapping[str, _Request]) -> Iterator[Result]:
        """Has the processes serve these requests, one of each at a time: best by one that has the client's data."""
        waiting = deque(requests)
        with selectors.DefaultSelector() as selector:
            for worker in self.workers:
                selector.register(worker.answers, selectors.EVENT_READ, worker)
                self._give(worker, waiting, requests)
            while any(worker.client for worker in self.workers):
                for key, _ in selector.select():
                    worker = key.data
                    thing = worker.client
                    answer = worker.hear()
                    if answer is None or isinstance(answer, Ready | Unusable):
                        selector.unregister(worker.answers)
                        answer = NotDone(thing=thing, phase="failed", reason=worker.ending("its output"))
                        self._replace(worker)
                        selector.register(worker.answers, selectors.EVENT_READ, worker)
                    self._give(worker, waiting, requests)
                    yield answer

    def _give(self, worker: WorkerProcess, waiting: deque[str], requests: Mapping[str, _Request]) -> None:
        thing = next((thing for thing in waiting if thing in worker.loaded), None) or next(
            (thing for thing in waiting if not any(thing in other.loaded for other in self.workers)), None
        )
        if thing is None:
            if not waiting:
                return
            thing = waiting[-1]
        waiting.remove(thing)
        if not isinstance(requests[thing], CountExamples) and not worker.has_model and self._model is not None:
            worker.say(self._model)
        worker.ask(thing, requests[thing])

    def _replace(self, worker: WorkerProcess) -> None:
        worker.start()
        worker.say(Begin(self._setup))
        self._await_begin(worker)

    def _await_begin(self, worker: WorkerProcess) -> None:
        answer = worker.hear()
        if answer is None:
            raise WorkersError(f"a process of the simulation did not start: {worker.ending('its output')}")
        if isinstance(answer, Unusable):
            raise WorkersError(answer.reason)
