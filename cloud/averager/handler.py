"""The averager's entry point. It is woken by messages of the updates queue: updates that arrived in S3, and deadlines.

The updates of one batch that belong to one round are inspected together and counted in one transaction; then, if the
round has all it needs, this invocation averages and closes it.
"""

import functools
import logging
import time
from collections import defaultdict
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

import msgspec

from cloud import metrics, services
from cloud.averager.closing import abort, ask_for_next, close_if_complete, is_complete
from cloud.averager.inspection import RefusedError, check_round, inspect
from cloud.averager.schemas import Schemas
from cloud.policies import InvalidPolicyError
from cloud.services import Services
from cloud.state.models import Fetched, MissingObjectError, TooLargeError
from cloud.state.records import ResponseRecord, RoundRecord
from cloud.state.rounds import RoundMovedOnError, UnknownRoundError
from protocol import names
from protocol.messages import DeadlineReached, InvalidMessageError, decode
from protocol.names import UpdateName

_log = logging.getLogger(__name__)

_MAX_REASON = 1000


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """An update that S3 told of, and the message that told."""

    message_id: str
    name: UpdateName
    key: str
    version_id: str | None
    arrived_at: float


class _S3Object(msgspec.Struct):
    key: str
    versionId: str | None = None  # noqa: N815 - S3's own name


class _S3Part(msgspec.Struct):
    object: _S3Object


class _S3Record(msgspec.Struct):
    eventTime: datetime  # noqa: N815 - S3's own name
    s3: _S3Part


class _S3Event(msgspec.Struct):
    Records: tuple[_S3Record, ...] = ()


class _Tagged(msgspec.Struct):
    kind: Literal["deadline"] | None = None


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by Lambda with a batch of messages. Returns those to deliver again."""
    logging.getLogger().setLevel(logging.INFO)
    outside = services.from_environment()
    with metrics.measured("averager", outside.calls) as properties:
        invocation = _Invocation(outside, context, properties)
        failures = invocation.run(event["Records"])
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failures)]}


@functools.cache
def _schemas_of(outside: Services) -> Schemas:
    return Schemas(outside.models)


class _Invocation:
    """One batch of messages."""

    def __init__(self, outside: Services, context: Any, properties: dict[str, Any]) -> None:
        self._services = outside
        self._schemas = _schemas_of(outside)
        self._context = context
        self._properties = properties

    def run(self, records: list[dict[str, Any]]) -> set[str]:
        """Work through the messages; returns the ids of those that failed and have to come again."""
        arrivals: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
        failures: set[str] = set()
        for record in records:
            try:
                if msgspec.json.decode(record["body"], type=_Tagged).kind == "deadline":
                    self._deadline(decode(record["body"], DeadlineReached))
                    continue
                for arrival in parse_arrivals(record["messageId"], record["body"]):
                    arrivals[arrival.name.federation, arrival.name.round].append(arrival)
            except Exception:
                # Whatever it is, only this message comes again, and at last goes to the dead-letter queue.
                _log.exception("message %s failed", record["messageId"])
                failures.add(record["messageId"])
        for (federation, round_number), group in arrivals.items():
            self._properties |= {"federation": federation, "round": round_number, "updates": len(group)}
            try:
                self._arrived(federation, round_number, group)
            except Exception:
                _log.exception("federation=%s round=%d updates failed", federation, round_number)
                failures |= {arrival.message_id for arrival in group}
        return failures

    def _arrived(self, federation: str, round_number: int, arrivals: list[Arrival]) -> None:
        limit = self._schemas.limit_bytes(federation)
        fetching = self._fetch_all(arrivals, limit) if limit else []
        try:
            record = self._services.rounds.get(federation, round_number)
        except UnknownRoundError:
            _log.warning("federation=%s round=%d unknown round: %d updates", federation, round_number, len(arrivals))
            return
        expected = self._schemas.of(record)
        if not fetching:
            fetching = self._fetch_all(arrivals, self._schemas.limit_bytes(federation))
        accepted: dict[str, ResponseRecord] = {}
        refused: dict[str, ResponseRecord] = {}
        for arrival, fetched in zip(arrivals, fetching, strict=True):
            thing = arrival.name.thing
            try:
                update = fetched.result()
                check_round(record, arrival.name)
                inspected = inspect(update.data, arrival.name, record, expected)
            except (RefusedError, TooLargeError, MissingObjectError) as error:
                refused[thing] = _refusal(arrival, str(error))
            else:
                accepted[thing] = ResponseRecord(
                    thing=thing,
                    state="accepted",
                    arrived_at=arrival.arrived_at,
                    inspected_at=time.time(),
                    version_id=arrival.version_id or update.version_id,
                    bytes=len(update.data),
                    norm=inspected.norm,
                    report=inspected.report,
                )
        self._record(record, arrivals, accepted, refused)
        self._close(record)

    def _fetch_all(self, arrivals: list[Arrival], limit: int | None) -> list[Future[Fetched]]:
        fetch = functools.partial(self._services.models.fetch, at_most=limit)
        return [self._services.parallel.submit(fetch, a.key, version_id=a.version_id) for a in arrivals]

    def _record(
        self,
        record: RoundRecord,
        arrivals: list[Arrival],
        accepted: dict[str, ResponseRecord],
        refused: dict[str, ResponseRecord],
    ) -> None:
        if accepted:
            try:
                self._services.rounds.record(record.federation, record.round, list(accepted.values()))
            except RoundMovedOnError:
                refused |= {a.name.thing: _refusal(a, "late: the round is averaging") for a in arrivals}
        known = {response.thing for response in self._known(record)} if refused else set()
        strays = [response for thing, response in refused.items() if thing not in known]
        for response in strays:
            _log.warning(
                "federation=%s round=%d thing=%s refused: %s",
                record.federation,
                record.round,
                response.thing,
                response.reason,
            )
        self._services.rounds.refuse(record.federation, record.round, strays)

    def _known(self, record: RoundRecord) -> list[ResponseRecord]:
        """The accepted responses: an update of theirs that comes again is a duplicate, which is no news."""
        return self._services.rounds.accepted(record.federation, record.round)

    def _close(self, record: RoundRecord) -> None:
        if record.status in ("closed", "aborted"):
            # A redelivery: the invocation that ended the round may have been cut off before it asked for the next.
            federation = self._services.federations.get(record.federation)
            if federation.round == record.round and federation.status == "running":
                ask_for_next(self._services, record, self._known(record))
            return
        try:
            needed = is_complete(self._services, record, time.time())
        except InvalidPolicyError:
            _log.exception("federation=%s round=%d completion failed", record.federation, record.round)
            needed = record.target
        self._close_with(record, needed)

    def _close_with(self, record: RoundRecord, needed: int) -> bool:
        remaining_s = self._context.get_remaining_time_in_millis() / 1000
        owner = str(self._context.aws_request_id)
        return close_if_complete(self._services, record.federation, record.round, needed, owner, remaining_s)

    def _deadline(self, message: DeadlineReached) -> None:
        self._properties |= {"kind": "deadline", "federation": message.federation, "round": message.round}
        now = time.time()
        if message.deadline > now:
            self._services.notices.set_deadline(message, now)
            return
        record = self._services.rounds.get(message.federation, message.round)
        if record.status in ("closed", "aborted") or self._close_with(record, record.quorum):
            return
        record = self._services.rounds.get(message.federation, message.round)
        if record.status == "averaging":
            # Someone is at it. Should it die, its lease ends, and this message comes back to take over.
            again = msgspec.structs.replace(message, deadline=record.lease_until or now + 1)
            self._services.notices.set_deadline(again, now)
        elif record.status == "open":
            abort(
                self._services,
                record,
                f"deadline reached with {record.accepted} of {record.quorum} updates that the quorum needs",
            )


def _refusal(arrival: Arrival, reason: str) -> ResponseRecord:
    return ResponseRecord(
        thing=arrival.name.thing,
        state="refused",
        arrived_at=arrival.arrived_at,
        inspected_at=time.time(),
        version_id=arrival.version_id,
        reason=reason[:_MAX_REASON],  # it may quote a name of any length that a device made up
    )


def parse_arrivals(message_id: str, body: str) -> list[Arrival]:
    """The updates that an S3 event tells of. What lies elsewhere in the bucket is no update and is left out.

    Raises:
        InvalidMessageError: the body is no S3 event.
    """
    try:
        event = msgspec.json.decode(body, type=_S3Event)
    except msgspec.DecodeError as error:
        raise InvalidMessageError(f"neither an S3 event nor a message of fedgrass: {error}: {body[:200]}") from error
    arrivals = []
    for record in event.Records:
        key = unquote_plus(record.s3.object.key)
        try:
            name = names.parse_update_key(key)
        except names.InvalidNameError as error:
            _log.warning("left alone: %s", error)
            continue
        arrivals.append(
            Arrival(
                message_id=message_id,
                name=name,
                key=key,
                version_id=record.s3.object.versionId,
                arrived_at=record.eventTime.timestamp(),
            )
        )
    return arrivals
