"""The backend that trains many clients at once, in threads of this process, where they get the models that they get
alone but for rounding: see TOLERANCE."""

from collections.abc import Callable, Iterator, Sequence

from torch import nn

from components.client.trainer.learning.local_data import DataError
from components.client.trainer.local_update import GlobalModel, local_seed
from components.client.trainer.task.loading import TaskError
from fedgrass.task import Metrics
from protocol.messages import Assignment
from simulation.backend import Done, NotDone, Work
from simulation.local_clients import Setup
from simulation.loop import LoopBackend
from simulation.vectorized.together import Apart, Client, Together
from simulation.vectorized.training import Trained

_OWN_TRAINING = "train", "loss", "parameters"


class VectorizedBackend(LoopBackend):
    """Trains clients together where it can, else one after the other: `tell` is called with each reason for that.

    Raises:
        TaskError: the task cannot be loaded.
    """

    def __init__(self, setup: Setup, workers: int, tell: Callable[[str], None]) -> None:
        super().__init__(setup)
        self._tell = tell
        self._told: set[str] = set()
        self.at_once = 16 * workers
        self._together = Together(workers)

    def compute(
        self, assignment: Assignment, model: bytes, average: bytes, work: Sequence[Work]
    ) -> Iterator[Done | NotDone]:
        """See `Backend`."""
        if assignment.evaluate is not None:
            yield from super().compute(assignment, model, average, work)
            return
        parsed = GlobalModel(bytearray(model))
        for one, outcome in self._outcomes(assignment, parsed, work):
            if isinstance(outcome, Apart):
                if outcome.reason not in self._told:
                    self._told.add(outcome.reason)
                    self._tell(outcome.reason)
                yield self.clients.train(assignment, parsed, one)
            else:
                yield self.clients.train(assignment, parsed, one, _putting_in(outcome))

    def close(self) -> None:
        """Ends its threads."""
        self._together.close()

    def _outcomes(
        self, assignment: Assignment, model: GlobalModel, work: Sequence[Work]
    ) -> Iterator[tuple[Work, Trained | Apart]]:
        settings = assignment.training
        if own := [name for name in _OWN_TRAINING if self.clients.task.has(name)]:
            yield from ((one, Apart(f"task.py has {own[0]}(): it is trained by that")) for one in work)
            return
        members, clients = [], []
        for one in work:
            try:
                data = self.clients.data(one.thing)
            except (DataError, TaskError):
                yield one, Apart("it has no data")
                continue
            members.append(one)
            clients.append(Client(data, local_seed(settings.seed, assignment.round, one.thing)))
        if clients:
            outcomes = self._together.train(lambda: self.clients.network(model, settings.seed), clients, settings)
            yield from ((members[place], outcome) for place, outcome in outcomes)


def _putting_in(trained: Trained) -> Callable[[nn.Module], Metrics]:
    """What gives a model the numbers that it has after its training."""

    def train(network: nn.Module) -> Metrics:
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            if name in trained.values:
                value.data.copy_(trained.values[name])
        network.train()
        return dict(trained.metrics)

    return train
