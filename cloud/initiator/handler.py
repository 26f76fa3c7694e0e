"""The initiator's entry point. It is woken by

a message of the rounds queue    an OpenRound: the round before has ended, or someone starts the federation
the topic rule                   a client's hello
the schedule                     {"kind": "wake"}: a safety net that asks again for what should be open
"""

import logging
import time
from typing import Any, Literal

import msgspec

from cloud import metrics, services
from cloud.initiator.opening import open_round
from cloud.services import Services
from cloud.state.federations import UnknownFederationError
from protocol import names
from protocol.messages import Hello, InvalidMessageError, OpenRound, decode

_log = logging.getLogger(__name__)


class _Greeting(msgspec.Struct):
    kind: Literal["hello"]
    federation: str
    thing: str


class _Tagged(msgspec.Struct):
    kind: str


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Called by Lambda. Returns the messages to deliver again, if the event was a batch of them."""
    logging.getLogger().setLevel(logging.INFO)
    outside = services.from_environment()
    with metrics.measured("initiator", outside.calls) as properties:
        if "Records" not in event:
            properties["kind"] = "wake"
            _wake(outside)
            return {}
        failures = []
        for record in event["Records"]:
            try:
                _handle_message(outside, record["body"], properties)
            except Exception:
                # Whatever it is, only this message comes again, and at last goes to the dead-letter queue.
                _log.exception("message %s failed", record["messageId"])
                failures.append(record["messageId"])
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _handle_message(outside: Services, body: str, properties: dict[str, Any]) -> None:
    kind = msgspec.json.decode(body, type=_Tagged).kind
    properties["kind"] = kind
    if kind == "hello":
        _greet(outside, body)
        return
    request = decode(body, OpenRound)
    properties |= {"federation": request.federation, "round": request.round}
    open_round(outside, request)


def _greet(outside: Services, body: str) -> None:
    try:
        greeting = msgspec.json.decode(body, type=_Greeting)
        federation, thing = names.check_federation(greeting.federation), names.check_thing(greeting.thing)
        hello = decode(body, Hello)
    except (msgspec.DecodeError, names.InvalidNameError, InvalidMessageError) as error:
        _log.warning("hello refused: %s", error)
        return
    now = time.time()
    outside.clients.greet(federation, thing, hello, now)
    try:
        record = outside.federations.get(federation)
    except UnknownFederationError:
        _log.info("federation=%s thing=%s said hello before there is such a federation", federation, thing)
        return
    if record.waiting and record.status == "running":
        outside.notices.ask_for_round(OpenRound(federation=federation, round=record.round + 1), now)


def _wake(outside: Services) -> None:
    now = time.time()
    for record in outside.federations.all():
        if record.status == "running":
            outside.notices.ask_for_round(OpenRound(federation=record.federation, round=record.round + 1), now)
