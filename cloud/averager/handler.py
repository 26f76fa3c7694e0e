"""The averager's entry point. It is woken by messages of the updates queue: updates that arrived in S3, clients that
say that none will come, times to look at a round, and an operator who ends one; and by those of the shards queue, each
a job of a round that is too large for one invocation.

The responses of one batch that belong to one round are inspected together and counted in one transaction; what that
leads to, this invocation does.
"""

import contextlib
import functools
import itertools
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from cloud import metrics, services
from cloud.averager.events import Arrival, Word, parse
from cloud.averager.inspection import RefusedError, inspect, round_for
from cloud.averager.keeping import Keeper
from cloud.averager.schemas import Schemas
from cloud.services import Services
from cloud.state.lifecycle import Aborted
from cloud.state.models import Fetched, MissingObjectError, TooLargeError
from cloud.state.records import ResponseRecord, RoundRecord
from cloud.state.rounds import Answers, UnknownRoundError
from protocol.messages import AbortRound, AverageShard, CheckRound

_log = logging.getLogger(__name__)

_MAX_REASON = 500
FETCHED_BYTES = 256 << 20
"""How many bytes of updates are fetched at once to be inspected; but at least one update."""
_STRAYS = 0
"""Updates to rounds that never were are recorded with round 0, which is none."""

_MIN_WAIT_S = 1.0
"""What came between two rounds comes again after this at first, and then each time after twice as long."""


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by Lambda with a batch of messages. Returns those to deliver again."""
    logging.getLogger().setLevel(logging.INFO)
    outside = services.from_environment()
    with metrics.measured("averager", outside.calls, outside.waited_s) as properties:
        invocation = _Invocation(outside, context, properties)
        failures = invocation.run(event["Records"])
        properties["failed_messages"] = len(failures)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failures)]}


@functools.cache
def _schemas_of(outside: Services) -> Schemas:
    return Schemas(outside.models)


class _Invocation:
    """One batch of messages."""

    def __init__(self, outside: Services, context: Any, properties: dict[str, Any]) -> None:
        self._services = outside
        self._schemas = _schemas_of(outside)
        self._properties = properties
        self._keeper = Keeper(
            outside, str(context.aws_request_id), lambda: context.get_remaining_time_in_millis() / 1000
        )

    def run(self, records: list[dict[str, Any]]) -> set[str]:
        """Work through the messages; returns the ids of those that failed and have to come again."""
        groups: dict[tuple[str, int], list[Arrival | Word]] = defaultdict(list)
        failures: set[str] = set()
        for record in records:
            try:
                for said in parse(record["messageId"], record["body"], time.time()):
                    match said:
                        case CheckRound():
                            self._check(said)
                        case AbortRound():
                            self._abort(said)
                        case AverageShard():
                            self._properties |= {"federation": said.federation, "round": said.round, "job": said.job}
                            self._keeper.do_job(said)
                        case Arrival(name=name):
                            groups[name.federation, name.round].append(said)
                        case Word(federation=federation, outcome=outcome):
                            groups[federation, outcome.round].append(said)
            except Exception:
                # Whatever it is, only this message comes again, and at last goes to the dead-letter queue.
                _log.exception("message %s failed", record["messageId"])
                failures.add(record["messageId"])
        for (federation, round_number), group in groups.items():
            self._properties |= {"federation": federation, "round": round_number, "responses": len(group)}
            try:
                self._respond(federation, round_number, group)
            except Exception:
                _log.exception("federation=%s round=%d responses failed", federation, round_number)
                failures |= {said.message_id for said in group}
        return failures

    def _respond(self, federation: str, round_number: int, group: Sequence[Arrival | Word]) -> None:
        arrivals = [said for said in group if isinstance(said, Arrival)]
        limit = self._schemas.limit_bytes(federation)
        fetching = self._fetch_all(arrivals, limit) if limit else None
        try:
            record = self._services.rounds.get(federation, round_number)
        except UnknownRoundError:
            reason = f"unknown round {round_number}"
            strays = {arrival.thing: _refusal(arrival, reason) for arrival in arrivals}
            self._refuse(federation, _STRAYS, list(strays.values()))
            return
        if fetching is None:
            self._schemas.of(record)
            fetching = self._fetch_all(arrivals, self._schemas.limit_bytes(federation) or 1)
        latest = self._latest(record)
        responses: dict[str, ResponseRecord] = {}
        refused: dict[str, ResponseRecord] = {}
        early: list[Arrival | Word] = []
        for word in (said for said in group if isinstance(said, Word)):
            with contextlib.suppress(RefusedError):  # its client is not waited for
                if round_for(record, latest, word.thing) is None:
                    early.append(word)
                else:
                    responses[word.thing] = _failure(word)
        for arrival, fetched in zip(arrivals, fetching, strict=True):
            try:
                if round_for(record, latest, arrival.thing) is None:
                    early.append(arrival)
                else:
                    responses[arrival.thing] = self._inspect(arrival, fetched, record)
            except (RefusedError, TooLargeError, MissingObjectError) as error:
                refused[arrival.thing] = _refusal(arrival, str(error))
        late = set(self._keeper.count(latest, responses))
        early += [said for said in group if said.thing in late and said.thing not in refused]
        if not refused and not early:
            return
        answers = [self._services.rounds.answers(federation, n) for n in range(record.round, latest.round + 1)]
        unwanted = self._put_off(record, early, answers)
        refused = {a.thing: _refusal(a, "late: the round is no longer open") for a in unwanted} | refused
        # An update that is on record and comes again is a duplicate, which is no news.
        known = {(r.thing, r.version_id) for those in answers for r in (*those.accepted, *those.refused)}
        news = [response for response in refused.values() if (response.thing, response.version_id) not in known]
        self._refuse(federation, round_number, news)

    def _latest(self, assigned: RoundRecord) -> RoundRecord:
        """The round in which responses to an assignment count: in a buffered federation the last one that was opened,
        if that of the assignment has ended."""
        if assigned.status == "open" or not assigned.settings.max_staleness:
            return assigned
        last_ended = self._services.federations.get(assigned.federation).round
        try:
            return self._services.rounds.get(assigned.federation, last_ended + 1)
        except UnknownRoundError:
            return self._services.rounds.get(assigned.federation, last_ended)

    def _put_off(
        self, assigned: RoundRecord, early: Sequence[Arrival | Word], answers: Sequence[Answers]
    ) -> list[Arrival]:
        """Have what came between two rounds come again, the sooner the newer it is; until the next one has opened,
        which decides. Returns the updates that none will want: their clients have answered already, or the federation
        is not buffered."""
        if not early or not assigned.settings.max_staleness:
            return [said for said in early if isinstance(said, Arrival)]
        answered = {r.thing for those in answers for r in (*those.accepted, *those.failed)}
        next_at, now = self._services.federations.get(assigned.federation).next_at, time.time()
        for said in early:
            if said.thing not in answered:
                wait_s = max(_MIN_WAIT_S, now - said.arrived_at)
                self._services.notices.put_off(said.body, max(next_at, now + wait_s), now)
        return [said for said in early if isinstance(said, Arrival) and said.thing in answered]

    def _inspect(self, arrival: Arrival, fetched: Future[Fetched], record: RoundRecord) -> ResponseRecord:
        update = fetched.result()
        inspected = inspect(update.data, arrival.name, record, self._schemas.of(record))
        return ResponseRecord(
            thing=arrival.thing,
            state="accepted",
            arrived_at=arrival.arrived_at,
            inspected_at=time.time(),
            version_id=arrival.version_id or update.version_id,
            bytes=len(update.data),
            data_start=inspected.data_start,
            norm=inspected.norm,
            report=inspected.report,
        )

    def _fetch_all(self, arrivals: Sequence[Arrival], limit: int) -> Iterator[Future[Fetched]]:
        """The updates in their order. As many as fit into memory are on their way at once, the first from now on."""
        fetch = functools.partial(self._services.models.fetch, at_most=limit)
        ahead: deque[Future[Fetched]] = deque()

        def begin(more: Sequence[Arrival]) -> None:
            ahead.extend(self._services.parallel.submit(fetch, a.key, version_id=a.version_id) for a in more)

        at_once = max(1, FETCHED_BYTES // limit)
        begin(arrivals[:at_once])
        remaining = iter(arrivals[at_once:])

        def following() -> Iterator[Future[Fetched]]:
            while ahead:
                yield ahead.popleft()
                begin(list(itertools.islice(remaining, 1)))

        return following()

    def _refuse(self, federation: str, round_number: int, refused: Sequence[ResponseRecord]) -> None:
        for response in refused:
            _log.warning(
                "federation=%s round=%d thing=%s refused: %s", federation, round_number, response.thing, response.reason
            )
        self._services.rounds.refuse(federation, round_number, refused)

    def _check(self, message: CheckRound) -> None:
        self._properties["checks"] = self._properties.get("checks", 0) + 1
        now = time.time()
        if message.at > now:
            self._services.notices.ask_for_check(message, now)
        else:
            self._keeper.look(self._services.rounds.get(message.federation, message.round))

    def _abort(self, message: AbortRound) -> None:
        self._properties |= {"federation": message.federation, "round": message.round}
        record = self._services.rounds.get(message.federation, message.round)
        if self._keeper.advance(record, Aborted(message.reason)) is record:
            self._keeper.check(record)  # a redelivery: what the first delivery led to may have been cut off


def _refusal(arrival: Arrival, reason: str) -> ResponseRecord:
    return ResponseRecord(
        thing=arrival.thing,
        state="refused",
        arrived_at=arrival.arrived_at,
        inspected_at=time.time(),
        version_id=arrival.version_id,
        reason=reason[:_MAX_REASON],  # it may quote a name of any length that a device made up
    )


def _failure(word: Word) -> ResponseRecord:
    return ResponseRecord(
        thing=word.outcome.thing,
        state=word.outcome.phase,
        arrived_at=word.arrived_at,
        inspected_at=word.arrived_at,
        reason=(word.outcome.reason or "")[:_MAX_REASON],
    )
