"""Rounds in simulated time, opened, answered, averaged and closed by the functions that do it on a fleet.

What is random depends on the seed, the round and the client; answers that come at the same time come in the order of
the clients' names. So the same settings, data and devices give the same rounds and the same model, bit for bit.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from cloud.averager.responses.classification import LateError, round_for
from cloud.averager.responses.inspection import RefusedError, inspect
from cloud.averager.responses.messages import ArrivedUpdate
from cloud.averager.responses.verdicts import acceptance, refusal
from cloud.averager.round.client_histories import histories_of
from cloud.averager.round.conclusions import concluded
from cloud.averager.round.counting import Counting
from cloud.averager.round.round_end import (
    HOPELESS,
    averaged,
    evaluated,
    given_up_on,
    is_satisfied,
    may_be_satisfied,
    next_round_at,
    vanished,
)
from cloud.averager.work.sources import counting_responses
from cloud.averaging.last_updates import LastUpdates
from cloud.initiator.round_plan import assignment_in, handed_on, planned
from cloud.initiator.selection.cohort import select
from cloud.initiator.selection.drawing import pool_of
from cloud.pricing.prices import REGION
from cloud.pricing.round_price import dollars_of
from cloud.settings import Federation
from cloud.state.carry_over import busy_after, carried_after, carrying_what_fits, given_up
from cloud.state.lifecycle import Checked, Event, Lease, Satisfied, ends_at_target, needed, step
from cloud.state.records import Carried, ClientRecord, CohortMember, FederationRecord, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses, after_round
from protocol import names
from protocol.encodings import EVALUATION, UpdateLayout, update_layout
from protocol.names import UpdateName
from protocol.tensors import parse_header, schema_id
from simulation.backend import Backend, Done, NotDone, Work
from simulation.devices import Fleet
from simulation.in_flight import Arrival, InFlight
from simulation.model_store import ModelFiles, ModelStore, first_reference
from simulation.opening import opening
from simulation.residual_files import ResidualFiles
from simulation.round_averaging import in_memory

_OWNER = "simulation"
_DROPPED_OUT = "it dropped out, as the simulation's devices have it"


class EndedRound(msgspec.Struct, frozen=True):
    """A round that has ended, what came back in it, and the federation after it."""

    record: RoundRecord
    responses: Responses
    federation: FederationRecord


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a simulation stands between two rounds, beside the files of its models, its residuals, and the updates that
    are carried over, or the `last` ones of their clients. `rounds` are those that a client still works for, `ended` the
    last one."""

    federation: FederationRecord
    clients: list[ClientRecord]
    now: float = 0.0
    ended: EndedRound | None = None
    rounds: list[RoundRecord] = []
    arrivals: list[Arrival] = []
    carried: list[ResponseRecord] = []
    last: LastUpdates | None = None


class Simulation:
    """One federation, from where it stands. `residuals` is the folder of its clients' residuals; `policies` is the
    user's policies.py, if the settings ask for one; `updates` are the files of updates that are carried over, and of
    clients' last ones, by round and client. Rounds cost what they would in AWS's `region`."""

    def __init__(
        self,
        standing: Standing,
        models: ModelStore,
        backend: Backend,
        fleet: Fleet,
        residuals: Path,
        policies: ModuleType | None = None,
        updates: dict[tuple[int, str], bytes] | None = None,
        region: str = REGION,
    ) -> None:
        self._federation = standing.federation
        self._clients = {client.thing: client for client in standing.clients}
        self._now = standing.now
        self._ended = standing.ended
        self._rounds = {record.round: record for record in standing.rounds}
        self._in_flight = InFlight(standing.arrivals)
        self._carried = standing.carried
        self._last = standing.last
        self.models = models
        self.updates = dict(updates or {})
        self._backend = backend
        self._fleet = fleet
        self._policies = policies
        self._region = region
        self._look = 0
        self._answers: dict[str, Done | NotDone] = {}
        model = self.models.model(self._federation.model)
        self._header = parse_header(model, len(model))
        self._layout = update_layout(self._header, self._federation.settings.encoding)
        name, schema = self._federation.federation, self._federation.schema
        self.residuals = ResidualFiles(residuals, name, schema, self._layout.n_parameters)

    @property
    def standing(self) -> Standing:
        """Where it stands: `updates` and `models` have what belongs to it."""
        return Standing(
            federation=self._federation,
            clients=list(self._clients.values()),
            now=self._now,
            ended=self._ended,
            rounds=list(self._rounds.values()),
            arrivals=list(self._in_flight),
            carried=self._carried,
            last=self._last,
        )

    def run(self) -> Iterator[EndedRound]:
        """The rounds that are to come, each when it has ended.

        Raises:
            NotEnoughClientsError: there are fewer clients than a round needs.
            InvalidPolicyError: a custom selection failed.
        """
        while self._federation.status != "finished" and self._federation.round < self._federation.settings.rounds:
            record, responses = self._carried_through(*self._open())
            yield self._close(record, responses)

    # ---- A round opens

    def _open(self) -> tuple[RoundRecord, Responses]:
        federation, settings = self._federation, self._federation.settings
        self._now, self._look = opening(federation, self._clients, self._fleet, self._now)
        busy: tuple[CohortMember, ...] = ()
        carried: tuple[Carried, ...] = ()
        if self._ended is not None and settings.carries_over and handed_on(self._ended.record, federation):
            busy = busy_after(self._ended.record, self._ended.responses)
            carried = carried_after(self._ended.record, self._ended.responses)
        found = pool_of(self._clients, settings, federation.round + 1, {member.thing for member in busy})
        choose = self._policy("choose_clients")
        cohort = select(
            found.clients,
            settings.selection_in(federation.round + 1),
            federation.round + 1,
            choose,
            busy,
            found.known,
            settings.averaging,
        )
        record = carrying_what_fits(planned(federation, found.known, cohort, carried, (), self._now))
        record = msgspec.structs.replace(record, notified_at=self._now)
        selected = [member.thing for member in cohort if member.assigned_in is None]
        self._rounds[record.round] = record
        self._assign(record, selected)
        return record, Responses(notified=dict.fromkeys(selected, self._now))

    def _assign(self, record: RoundRecord, selected: Sequence[str]) -> None:
        """Sends clients to work: when their answers will come depends on how much data they have."""
        unknown = [thing for thing in selected if self._clients[thing].examples is None]
        for thing, found in self._backend.examples(unknown).items() if unknown else ():
            if isinstance(found, NotDone):
                self._in_flight.add(Arrival(at=self._now, thing=thing, round=record.round, failure=found))
            else:
                self._clients[thing] = msgspec.structs.replace(
                    self._clients[thing], examples=found, last_seen=self._now
                )
        for thing in selected:
            if (examples := self._clients[thing].examples) is not None:
                self._send_to_work(record, thing, examples)

    def _send_to_work(self, record: RoundRecord, thing: str, examples: int) -> None:
        assignment, layout = assignment_in(record), self._layout_in(record)
        course = self._fleet.course(
            thing,
            record.round,
            self._now,
            look=self._look,
            training=record.settings.training,
            examples=0 if record.evaluates else examples,  # what an evaluation takes is not simulated
            download_bytes=assignment.download_bytes,
            upload_bytes=layout.header_bytes + layout.data_bytes,
        )
        if not course.hears:
            self._in_flight.drop([thing])
        elif course.fails_at is not None:
            failure = NotDone(thing=thing, phase="failed", reason=_DROPPED_OUT)
            self._in_flight.add(Arrival(at=course.fails_at, thing=thing, round=record.round, failure=failure))
        else:
            self._in_flight.add(Arrival(at=course.arrives_at, thing=thing, round=record.round, timings=course.timings))

    # ---- Answers come

    def _carried_through(self, record: RoundRecord, responses: Responses) -> tuple[RoundRecord, Responses]:
        """A round and the responses to it, from its opening to its end."""
        while record.status == "open":
            arrival = self._in_flight.next(record.deadline)
            if arrival is None:
                self._now = record.deadline
                record = self._step(record, Checked())
            else:
                self._now = arrival.at
                record, responses = self._receive(record, responses, arrival)
        if record.status == "averaging":
            record = self._average(record, responses)
        return record, responses

    def _receive(self, record: RoundRecord, responses: Responses, arrival: Arrival) -> tuple[RoundRecord, Responses]:
        assigned = self._rounds[arrival.round]
        try:
            round_for(assigned, record, arrival.thing)
        except LateError:
            return record, responses  # no round waits for it any more
        response = self._response(self._answer(record, arrival), assigned)
        if response.state == "refused":
            refused = (*responses.refused, response)
            record = self._noted(msgspec.structs.replace(record, refused=record.refused + 1))
            return record, msgspec.structs.replace(responses, refused=refused)
        responses = responses.including([response])
        before = record
        record = self._step(record, Counting({response.thing: response}).event)
        if record.status == "open" and may_be_satisfied(before, record) and self._is_satisfied(record, responses):
            record = self._step(record, Satisfied())
        return record, responses

    def _is_satisfied(self, record: RoundRecord, responses: Responses) -> bool:
        is_complete = self._policy("is_complete")
        return is_complete is not None and is_satisfied(record, responses, is_complete, self._now)

    def _answer(self, record: RoundRecord, arrival: Arrival) -> Done | NotDone:
        """What a client has made of its assignment: computed now, with those that the round will need as well."""
        if arrival.failure is not None:
            return arrival.failure
        if arrival.thing not in self._answers:
            due = (other for other in self._in_flight if other.failure is None and other.at <= record.deadline)
            wanted = [arrival, *itertools.islice(due, self._wanted(record) - 1)]
            self._compute(self._rounds[arrival.round], [one for one in wanted if one.round == arrival.round])
        return self._answers.pop(arrival.thing)

    def _wanted(self, record: RoundRecord) -> int:
        """How many updates the round is sure to look at still, if all are good."""
        if ends_at_target(record):
            return max(record.target, needed(record)) - record.accepted
        return max(self._backend.at_once, needed(record) - record.accepted)

    def _compute(self, assigned: RoundRecord, arrivals: Iterable[Arrival]) -> None:
        work = []
        for arrival in arrivals:
            if arrival.thing in self._answers:
                continue
            assert arrival.timings is not None  # noqa: S101 - who does not fail has some
            residual = self.residuals.before(arrival.thing, assigned.round)
            left = b"" if residual is None else residual.tobytes()
            work.append(Work(thing=arrival.thing, timings=arrival.timings, residual=left))
        model = self.models.downloaded(assigned.base)
        average = self.models.average(assigned.base) if assigned.evaluates else b""
        for answer in self._backend.compute(assignment_in(assigned), model, average, work):
            self._answers[answer.thing] = answer

    def _response(self, answer: Done | NotDone, assigned: RoundRecord) -> ResponseRecord:
        """What is recorded of an answer."""
        if isinstance(answer, NotDone):
            return ResponseRecord(
                thing=answer.thing,
                state=answer.phase,
                life=assigned.life,
                arrived_at=self._now,
                inspected_at=self._now,
                reason=answer.reason,
            )
        name = UpdateName(assigned.federation, assigned.round, answer.thing, assigned.life)
        update = ArrivedUpdate(
            message_id="",
            name=name,
            key=names.update_key(*name),
            version_id=None,
            size=len(answer.update),
            arrived_at=self._now,
        )
        if answer.residual:
            self.residuals.keep(answer.thing, assigned.round, np.frombuffer(answer.residual, np.float32))
        try:
            inspected = inspect(answer.update, name, assigned, self._layout_in(assigned))
        except RefusedError as error:
            return refusal(update, str(error), self._now)
        self.updates[assigned.round, answer.thing] = answer.update
        return acceptance(update, len(answer.update), inspected, self._now)

    # ---- A round ends

    def _average(self, record: RoundRecord, responses: Responses) -> RoundRecord:
        if record.evaluates:
            return self._step(record, evaluated(record, responses, _OWNER, self._now))
        carried = Responses(accepted=tuple(self._carried))
        counting = counting_responses(record, responses, lambda _: carried)
        updates = {names.update_key(record.federation, *key, record.life): data for key, data in self.updates.items()}
        custom = self._policy("average")
        a_round = in_memory(record, counting, updates, self._layout, self.models, self._rounds, custom, self._last)
        try:
            files = a_round.average()
        except HOPELESS as error:
            return self._step(record, given_up_on(record, error))
        self._last = a_round.recalled.after if a_round.recalled else None
        model, warnings = self.models.add(record, files), a_round.warnings
        event = averaged(record, responses, owner=_OWNER, model=model, warnings=warnings, averaged_at=self._now)
        return self._step(record, event)

    def _close(self, record: RoundRecord, responses: Responses) -> EndedRound:
        if record.status == "aborted":
            record = msgspec.structs.replace(record, vanished=vanished(record, responses))
        record = concluded(record, dollars_of(record, self._header, self._region))
        next_at = next_round_at(record, responses, self._policy("next_round_delay"))
        record = self._noted(msgspec.structs.replace(record, next_at=next_at))
        for history in histories_of(record.cohort, record, responses):
            self._clients[history.thing] = history.added_to(self._clients[history.thing])
        self._federation = msgspec.structs.replace(
            self._federation,
            **after_round(record, last=bool(record.stopped) or record.round >= record.settings.rounds),
        )
        self._in_flight.drop(member.thing for member in given_up(record, responses))
        self._answers.clear()
        self._forget(record, responses)
        self._ended = EndedRound(record, responses, self._federation)
        return self._ended

    def _forget(self, record: RoundRecord, responses: Responses) -> None:
        """Drops what no round needs any more."""
        new = () if record.evaluates else responses.accepted
        known = {response.thing: response for response in (*self._carried, *new)}
        self._carried = [known[carried.thing] for carried in carried_after(record, responses)]
        kept = {(r.report.round, r.thing) for r in self._carried if r.report is not None}
        last = self._last.of.items() if self._last else ()
        wanted = kept | {(names.parse_update_key(one.key).round, thing) for thing, one in last}
        self.updates = {key: update for key, update in self.updates.items() if key in wanted}
        needed_rounds = {arrival.round for arrival in self._in_flight} | {number for number, _ in kept}
        self._rounds = {number: one for number, one in self._rounds.items() if number in needed_rounds}
        self.models.keep([self._federation.model, *(one.base for one in self._rounds.values())])

    # ---- Throughout

    def _step(self, record: RoundRecord, event: Event) -> RoundRecord:
        return self._noted(step(record, event, self._now, Lease(_OWNER, self._now)))

    def _noted(self, record: RoundRecord) -> RoundRecord:
        """As it is from now on."""
        record = msgspec.structs.replace(record, version=record.version + 1)
        self._rounds[record.round] = record
        return record

    def _policy(self, name: str) -> Callable[..., Any] | None:
        if self._policies is None or name not in self._federation.settings.custom_functions:
            return None
        function: Callable[..., Any] = getattr(self._policies, name)
        return function

    def _layout_in(self, record: RoundRecord) -> UpdateLayout:
        return EVALUATION if record.evaluates else self._layout


def beginning(settings: Federation, files: ModelFiles, things: Iterable[str]) -> Standing:
    """A federation before its first round, with its initial model and these clients."""
    model = files["model"]
    return Standing(
        federation=FederationRecord(
            federation=settings.name,
            settings=settings,
            status="running",
            round=0,
            model=first_reference(settings.name, files),
            schema=schema_id(parse_header(model, len(model)).schema),
        ),
        clients=[ClientRecord(federation=settings.name, thing=thing) for thing in sorted(things)],
    )
