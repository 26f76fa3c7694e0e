"""The initiator's entry point. It is woken by

a message of the rounds queue    an OpenRound: the round before has ended, or someone starts the federation
the topic rule                   a client's hello
the schedule                     {"kind": "wake"}: a safety net that asks again for what should be open
"""

import functools
import logging
import re
import time
from typing import Any

import msgspec

from cloud import log_lines, metrics, services
from cloud.initiator.fleet import count
from cloud.initiator.opening import open_round
from cloud.initiator.readiness import are_ready
from cloud.initiator.registration import Greeter
from cloud.services import Services
from cloud.state.lenient_reader import Reader
from cloud.state.lifecycle import is_stalled, next_check
from cloud.state.records import CorruptRecordError, FederationRecord, RoundRecord
from protocol.messages import CheckRound, OpenRound, decode

_log = logging.getLogger(__name__)


_HELLO = re.compile(r'"kind"\s*:\s*"hello"')
"""What the topic rule adds to all that a device says, whether the rest can be read or not."""


class _Tagged(msgspec.Struct):
    kind: str


def handle(event: dict[str, Any], context: Any, outside: Services | None = None) -> dict[str, Any]:
    """Called by Lambda. Returns the messages to deliver again, if the event was a batch of them. `outside` takes the
    place of what the environment names, logs included."""
    if outside is None:
        log_lines.write(context.aws_request_id)
        outside = services.from_environment()
    counted = outside.calls, outside.waited_s, outside.left_out
    with metrics.measured(outside.namespace, "initiator", *counted) as properties:
        if "Records" not in event:
            properties["kind"] = "wake"
            properties["stalled_federations"] = _wake(outside)
            return {}
        failures = []
        for record in event["Records"]:
            try:
                _handle_message(outside, record["body"], properties)
            except Exception:
                # Whatever it is, only this message comes again, and at last goes to the dead-letter queue.
                _log.exception("message %s failed", record["messageId"])
                failures.append(record["messageId"])
        properties |= {"messages": len(event["Records"]), "failed_messages": len(failures)}
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


@functools.cache
def _greeter_of(outside: Services) -> Greeter:
    return Greeter(outside)


def _handle_message(outside: Services, body: str, properties: dict[str, Any]) -> None:
    try:
        kind = msgspec.json.decode(body, type=_Tagged).kind
    except (msgspec.DecodeError, RecursionError) as error:
        if _HELLO.search(body) is None:
            raise
        _log.warning("hello refused: %s: %.200s", error, body)
        return
    properties["kind"] = kind
    if kind == "hello":
        _greeter_of(outside).greet(body)
        return
    request = decode(body, OpenRound)
    properties |= {"federation": request.federation, "round": request.round}
    open_round(outside, request)


def _wake(outside: Services) -> int:
    """Ask again for what should be going on in each federation, but for those whose records can't be read; and go on
    with records of clients that are to be brought up to date. Returns how many federations that run are stalled."""
    now, stalled = time.time(), 0
    federations = outside.federations.all()
    for federation in federations:
        try:
            record = outside.opened_round(federation.federation, federation.life, federation.round + 1)
        except CorruptRecordError as error:
            Reader(outside.left_out).leave_out(error, RoundRecord)
            stalled += federation.status == "running"
        else:
            _ask_again(outside, federation, record, now)
            stalled += is_stalled(federation, record, now)
    for federation in federations:
        if federation.fleet is not None and not federation.fleet.placed:
            count(outside, federation, now)
    return stalled


def _ask_again(outside: Services, federation: FederationRecord, record: RoundRecord | None, now: float) -> None:
    """Ask again for the next round to open, or the open one to be looked at."""
    request = federation.next_round
    if record is None:
        # Before its time a request would be sent on until then, one more with every wake-up.
        if federation.status == "running" and (federation.next_at <= now or are_ready(outside, federation, now)):
            outside.notices.ask_for_round(request, now)
        return
    if record.notified_at is None and record.status == "open":
        outside.notices.ask_for_round(request, now)
    due = next_check(record)
    if due is not None and due <= now:
        check = CheckRound(federation=record.federation, life=record.life, round=record.round, at=due)
        outside.notices.ask_for_check(check, now)
