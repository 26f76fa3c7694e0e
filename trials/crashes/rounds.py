"""One run of a federation's first rounds, up to the opening of the next, with functions that may be killed."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from cli.settings.parsing import parse
from protocol import messages, names, tensors
from protocol.encodings import EVALUATION
from sandbox.example_updates import report
from sandbox.sandbox import Sandbox
from sandbox.simulated_clients import SimulatedDevices
from trials.crashes.deployed_function import Kill
from trials.crashes.event_sources import EventSources, Message
from trials.crashes.scenarios import End, ResponseKind, Scenario, end_of

_DTYPES = {"weights": "F32", "steps": "I64"}
_MAX_DELIVERIES = 300
_RESPONSES = ("updates/", "outcome ")


class DidNotEndError(Exception):
    """A run's messages come to no end."""


class Step(msgspec.Struct, frozen=True):
    """An invocation of a run: the `number`-th of this function about this."""

    function: str
    about: str
    number: int


class Run:
    """One run of a scenario, in a federation of its own.

    Attributes:
        kills: how many happened.
        calls: the AWS calls of each step, in their order; of one that was killed they are not known.
    """

    def __init__(self, sandbox: Sandbox, sources: EventSources, scenario: Scenario, federation: str) -> None:
        self.kills = 0
        self.calls: dict[Step, tuple[str, ...]] = {}
        self._sandbox = sandbox
        self._devices = SimulatedDevices(sandbox.aws, sandbox.deployment, federation)
        self._sources = sources
        self._scenario = scenario
        self._federation = federation
        self._versions: dict[str, int] = {}
        self._responses = {thing: list(kinds) for thing, kinds in zip(scenario.things, scenario.responses, strict=True)}
        self._responded: set[tuple[str, int]] = set()
        # Nobody answers in the next round: its deadline is where a run stops.
        self._next_deadline = f"check-round {scenario.last + 1}"
        self._numbers: Counter[tuple[str, str]] = Counter()

    def carry_out(self, at: Step | None = None, kill: Kill | None = None, again: Kill | None = None) -> End:
        """The whole run; its end. `kill` happens in step `at`; `again` is for the calls of all steps that follow.

        Raises:
            DidNotEndError: the functions' messages come to no end.
            FunctionDiedError: a function ended by itself.
        """
        self._sources.forget()
        self._create()
        pending = self._sources.receive(self._federation)
        while batch := self._next(pending):
            if len(self.calls) >= _MAX_DELIVERIES:
                raise DidNotEndError(f"after {_MAX_DELIVERIES} deliveries there is still {batch[0].label}")
            step = self._step(batch)
            armed = kill if step == at else again if self.kills == 1 else None
            outcome = self._sources.deliver(batch, armed, self._scenario.redelivery_s)
            self.calls[step] = outcome.calls
            if again is not None and self.kills == 1:
                again = msgspec.structs.replace(again, occurrence=again.occurrence - len(outcome.calls))
            self.kills += outcome.killed
            if len(self.calls) == 1 and self._scenario.late_hello:
                self._devices.say_hello(self._scenario.things[-1])
            self._respond_to_assignments()
            pending = [message for message in pending if message not in batch]
            pending += self._sources.receive(self._federation)
        self._sources.delete(pending)
        dead_letters = self._sources.take_dead_letters()
        return end_of(self._sandbox, self._federation, self._scenario.last, self._versions, dead_letters)

    def _next(self, pending: Sequence[Message]) -> list[Message]:
        """What is delivered next; if nothing is due, time goes on to when something is."""
        relevant = [message for message in pending if message.label != self._next_deadline]
        if not relevant:
            return []
        self._sources.clock.advance_to(min(message.due for message in relevant))
        now = self._sources.clock.now()
        due = sorted((m for m in relevant if m.due <= now), key=lambda m: (m.source.arn, m.label, m.due))
        if self._scenario.together and due[0].label.startswith(_RESPONSES):
            return [message for message in due if message.label.startswith(_RESPONSES)][: due[0].source.batch]
        return due[:1]

    def _step(self, batch: Sequence[Message]) -> Step:
        function, about = batch[0].source.function.name, ", ".join(message.label for message in batch)
        self._numbers[function, about] += 1
        return Step(function, about, self._numbers[function, about])

    def _create(self) -> None:
        scenario = self._scenario
        averaging = {"optimizer": {"name": "fedavgm"}, "ema": 0.9} | scenario.settings.get("averaging", {})
        settings = parse(
            {
                "name": self._federation,
                "training": {"steps": 1, "batch_size": 1, "learning_rate": 0.1},
                "rounds": scenario.last + 2,
                "selection": {"minimum": len(scenario.things)},
            }
            | scenario.settings
            | {"averaging": averaging}
        )
        self._devices.make(settings, self._file(0, messages.ModelHeader(federation=self._federation, round=0)))
        for thing in scenario.things[:-1] if scenario.late_hello else scenario.things:
            self._devices.greet(thing)
        self._devices.start()

    def _respond_to_assignments(self) -> None:
        """What devices do: they look into their shadows, and answer each assignment once."""
        ended = self._sandbox.operations.federations.get(self._federation).round
        for thing, kinds in self._responses.items():
            if not kinds or (kinds[0] == "late update" and not ended):
                continue
            assignment = self._devices.desired(thing).assignment
            if assignment is not None and (thing, assignment.round) not in self._responded:
                self._responded.add((thing, assignment.round))
                self._respond(thing, assignment, kinds.pop(0))

    def _respond(self, thing: str, assignment: messages.Assignment, kind: ResponseKind) -> None:
        number = self._scenario.things.index(thing)
        if kind == "decline":
            self._devices.report_progress(thing, assignment.round, "declined", "it is at work")
            return
        about = report(
            thing,
            federation=self._federation,
            life=assignment.life,
            round=assignment.round,
            base=assignment.model.sha256,
            examples=10 + number,
            before={"loss": 1.0 / (1 + number)},
        )
        if kind == "malformed":
            body = b"no update at all"
        elif assignment.evaluate is not None:
            body = tensors.encode_header(EVALUATION.tensors, messages.encode(about).decode())
        else:
            body = self._file(assignment.round, about, 1 + number)
        key = names.update_key(self._federation, assignment.round, thing, assignment.life)
        self._versions[self._devices.put_object(key, body)] = assignment.round

    def _file(self, round_number: int, about: messages.Message, client: int = 0) -> bytes:
        """A model or an update with values that no two of them share: their weighted mean depends on the order of its
        sum."""
        generator = np.random.default_rng((client, round_number))
        weights = generator.normal(size=(self._scenario.rows, 8)).astype(np.float32)
        return tensors.dump({"weights": weights, "steps": np.array(client, np.int64)}, _DTYPES, messages.encode(about))
