"""Forgetting a client: what a federation keeps of a device that is gone, or that is to begin anew."""

from typing import Any

import msgspec

from operations.control import Operations, RoundUnderWayError
from protocol import names


class UnknownClientError(LookupError):
    """The federation keeps nothing of the thing."""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What there was to remove."""

    federation: str
    thing: str
    had_record: bool
    had_shadow: bool


def forget(operations: Operations, iot: Any, federation: str, thing: str) -> Forgotten:
    """Remove a client's record, and its shadow of the federation. What is of rounds that have ended stays with them;
    but its last update stands in for it no more.

    Raises:
        InvalidNameError: no thing can have the name.
        UnknownFederationError: there is none of this name.
        UnknownClientError: see there.
        RoundUnderWayError: a round that is under way is waiting for it.
    """
    names.check_thing(thing)
    if (number := _round_with(operations, federation, thing)) is not None:
        raise RoundUnderWayError(
            f"{thing} takes part in round {number} of {federation!r}: wait for its end, or end it by fedgrass "
            f"abort-round {federation}"
        )
    if operations.federations.get(federation).settings.averaging.variance_reduction:
        operations.federations.forget_last_updates(federation)
    had_record = operations.clients.forget(federation, thing)
    if (number := _round_with(operations, federation, thing)) is not None:
        raise RoundUnderWayError(
            f"round {number} of {federation!r} has begun with {thing} while it was forgotten: do so again after its end"
        )
    try:
        iot.delete_thing_shadow(thingName=thing, shadowName=names.shadow_name(federation))
        had_shadow = True
    except iot.exceptions.ResourceNotFoundException:
        had_shadow = False
    if not had_record and not had_shadow:
        raise UnknownClientError(
            f"federation {federation!r} knows no client {thing!r}: fedgrass clients {federation} lists those it has"
        )
    return Forgotten(federation=federation, thing=thing, had_record=had_record, had_shadow=had_shadow)


def _round_with(operations: Operations, federation: str, thing: str) -> int | None:
    """The round that is under way, if the thing is in its cohort."""
    current = operations.under_way(operations.federations.get(federation))
    if current is None or current.has_ended or all(member.thing != thing for member in current.cohort):
        return None
    return current.round
