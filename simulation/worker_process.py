"""One process that computes clients' updates, as the simulation sees it."""

from simulation.child_process import ChildProcess
from simulation.worker_messages import Answer, Model, Request


class WorkerProcess(ChildProcess[Request, Answer]):
    """A process of its own, and what it has: the `loaded` data of clients, and the model; `client` is whose work it
    does."""

    def __init__(self) -> None:
        super().__init__("simulation.worker", Answer)

    def start(self) -> None:
        """Starts it, in the place of one that has ended."""
        super().start()
        self.loaded: set[str] = set()
        self.has_model = False
        self.client: str | None = None

    def ask(self, thing: str, request: Request) -> None:
        """Has it do something for a client."""
        self.client = thing
        self.loaded.add(thing)
        self.say(request)

    def say(self, request: Request) -> None:
        """Says something."""
        self.has_model = self.has_model or isinstance(request, Model)
        super().say(request)

    def hear(self) -> Answer | None:
        """What it says next; None if it has ended."""
        self.client = None
        return super().hear()
