"""A supervisor with its training processes, run as the agent runs it, and what the two leave behind."""

import queue
import time
from collections.abc import Callable
from pathlib import Path

from components.client.agent.supervisor import TRAINER, Event, Supervisor
from components.client.exchange import Entered, Loaded, NotReady, TrainerConfiguration
from protocol import messages, names, tensors
from protocol.messages import FINAL_PHASES, Assignment, Progress, Report
from sandbox.embedded_aws import EmbeddedAws
from tests.components.client.nucleus import FEDERATION, THING

BUCKET = "federation-bucket"
TIMEOUT_S = 60.0


class Agent:
    """Runs a supervisor's loop, as the agent does."""

    def __init__(
        self,
        artifacts: Path,
        command: tuple[str, ...] = TRAINER,
        keep_warm_s: float = 60.0,
        checkpoint_s: float = 0.0,
        niceness: int = 0,
        memory_mb: float = 0.0,
        dataset: Path | None = None,
        work: Path | None = None,
    ) -> None:
        configuration = TrainerConfiguration(
            federation=FEDERATION,
            thing=THING,
            bucket=BUCKET,
            artifacts=str(artifacts),
            dataset=str(dataset or artifacts),
            held_out=0.0,
            work=str(work or artifacts.parent),
            threads=1,
            checkpoint_steps=1,
            checkpoint_s=checkpoint_s,
            niceness=niceness,
            memory_mb=memory_mb,
            events=-1,
        )
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.supervisor = Supervisor(configuration, keep_warm_s, self._events.put, command)

    def train(self, assignment: Assignment) -> None:
        self.supervisor.train(assignment, time.time())

    def cancel(self) -> None:
        self.supervisor.cancel(time.monotonic())

    def turn(self) -> Loaded | NotReady | Entered | Progress | None:
        """Waits for one event, or until something is due, as the agent's loop does."""
        wake = min(self.supervisor.next_wake(), time.monotonic() + TIMEOUT_S)
        try:
            event = self._events.get(timeout=max(0.0, wake - time.monotonic()))
        except queue.Empty:
            self.supervisor.tick(time.monotonic())
            return None
        return self.supervisor.on_event(event, time.monotonic())

    def until(self, reached: Callable[[Progress], bool]) -> Progress:
        """The first progress of this kind."""
        limit = time.monotonic() + TIMEOUT_S
        while time.monotonic() < limit:
            outcome = self.turn()
            if isinstance(outcome, Progress) and reached(outcome):
                return outcome
        raise AssertionError("it did not come to that")

    def end(self) -> Progress:
        """How the assignment ends."""
        return self.until(lambda progress: progress.phase in FINAL_PHASES)

    def training(self) -> Progress:
        """Comes back when the task's own train() says so."""
        return self.until(lambda progress: progress.step == 1)

    @property
    def pid(self) -> int:
        assert self.supervisor._process is not None
        return self.supervisor._process._process.pid


AgentOf = Callable[..., Agent]


def read_update(aws: EmbeddedAws, round_number: int) -> tuple[tensors.Header, Report]:
    key = names.update_key(FEDERATION, round_number, THING)
    header, _ = tensors.load(aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return header, messages.decode(header.message, Report)
