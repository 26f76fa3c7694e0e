"""What arrives on the topics of the device's shadow, as events for the agent."""

import logging
from collections.abc import Callable

from components.client.agent import events, shadow
from protocol import names
from protocol.messages import InvalidMessageError

log = logging.getLogger(__name__)


def handlers(federation: str, thing: str) -> dict[str, Callable[[bytes], events.Event | None]]:
    """Topic -> what makes an event of a message there, None of one that cannot be read."""
    of_answers = {
        "get/accepted": _read_document,
        "get/rejected": _read_get_rejection,
        "update/delta": _read_delta,
        "update/rejected": _read_update_rejection,
    }
    return {names.shadow_topic(federation, thing, answer): of_answers[answer] for answer in names.SHADOW_ANSWERS}


def _read_delta(payload: bytes) -> events.Event:
    return events.ShadowChanged(shadow.parse_delta_version(payload))


def _read_document(payload: bytes) -> events.Event | None:
    try:
        return events.ShadowArrived(shadow.parse(payload))
    except InvalidMessageError as error:
        log.warning("cannot read the shadow", extra={"error": error})
        return None


def _read_get_rejection(payload: bytes) -> events.Event | None:
    rejection = shadow.parse_rejection(payload)
    if rejection.code == 404:
        return events.ShadowArrived(shadow.Shadow())
    log.warning("the shadow was not given", extra={"reason": f"{rejection.code} {rejection.message}"})
    return None


def _read_update_rejection(payload: bytes) -> events.Event | None:
    rejection = shadow.parse_rejection(payload)
    log.warning("the shadow refused an update", extra={"reason": f"{rejection.code} {rejection.message}"})
    return None
