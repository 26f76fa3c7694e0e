"""A process that computes clients' updates for the simulation that has started it, and dies with it."""

import msgspec

from components.client.trainer.failures import explain
from components.client.trainer.parent import die_with_the_parent
from components.client.trainer.task.loading import TaskError
from simulation.frames import read, taken_streams, write
from simulation.local_clients import LocalClients, Models
from simulation.worker_messages import (
    Answer,
    Begin,
    Compute,
    CountExamples,
    Examples,
    Model,
    Ready,
    Request,
    Unusable,
)


def main() -> None:
    """Serves requests until there are no more."""
    die_with_the_parent()
    requests, answers = taken_streams()
    decoder = msgspec.msgpack.Decoder(Request)
    worker = _Worker()
    while (data := read(requests)) is not None:
        answer = worker.serve(decoder.decode(data))
        if answer is not None:
            write(answers, answer)


class _Worker:
    """The task is loaded by the first request, `Begin`, and the models are there before the first `Compute`."""

    _clients: LocalClients
    _models: Models

    def serve(self, request: Request) -> Answer | None:
        match request:
            case Begin(setup):
                try:
                    self._clients = LocalClients(setup)
                except TaskError as error:
                    return Unusable(explain(error))
                return Ready()
            case CountExamples(thing):
                found = self._clients.examples(thing)
                return Examples(thing, found) if isinstance(found, int) else found
            case Model(file, average):
                self._models = Models.of(file, average)
                return None
            case Compute(assignment, work):
                return self._clients.compute(assignment, self._models, work)
