"""The backend that computes one client after the other, in this process."""

from collections.abc import Iterator, Sequence

from protocol.messages import Assignment
from simulation.backend import Done, NotDone, Work
from simulation.local_clients import LocalClients, Models, Setup


class LoopBackend:
    """Computes in this process. `TaskError` is raised if the task cannot be loaded."""

    at_once = 1

    def __init__(self, setup: Setup) -> None:
        self.clients = LocalClients(setup)

    def examples(self, things: Sequence[str]) -> dict[str, int | NotDone]:
        """See `Backend`."""
        return {thing: self.clients.examples(thing) for thing in things}

    def compute(
        self, assignment: Assignment, model: bytes, average: bytes, work: Sequence[Work]
    ) -> Iterator[Done | NotDone]:
        """See `Backend`."""
        models = Models.of(model, average)
        for one in work:
            yield self.clients.compute(assignment, models, one)

    def close(self) -> None:
        """There is nothing to end."""
