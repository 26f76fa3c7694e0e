"""Which round wants a response, if any does: pure."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from cloud.averager.responses.inspection import RefusedError
from cloud.averager.responses.messages import ArrivedOutcome, ArrivedUpdate, Response
from cloud.averager.responses.verdicts import Judged, failure, refused
from cloud.state.carry_over import assignment_of
from cloud.state.records import EXPELLED, LATE, RoundRecord

Sent = TypeVar("Sent", ArrivedUpdate, Response)


class LateError(RefusedError):
    """An update that nothing is wrong with, but that it comes too late: slow devices send such ones."""


def newest_of(responses: Iterable[Sent]) -> list[Sent]:
    """Each client's newest update and newest outcome. Older ones are never fetched, however many it sends."""
    newest = {(one.thing, type(one)): one for one in sorted(responses, key=lambda one: one.arrived_at)}
    return list(newest.values())


def classify(
    responses: Iterable[Response], assigned: RoundRecord, latest: RoundRecord, is_member: Callable[[str, str], bool]
) -> list[Judged]:
    """The responses to an assignment, by the round that wants them; `is_member` tells whether a thing group has a
    thing."""
    return [_classified(response, assigned, latest, is_member) for response in responses]


def _classified(
    response: Response, assigned: RoundRecord, latest: RoundRecord, is_member: Callable[[str, str], bool]
) -> Judged:
    group = assigned.settings.thing_group
    try:
        wanted_by = round_for(assigned, latest, response.thing)
    except LateError as error:
        return refused(response, "late", str(error))
    except RefusedError as error:
        return refused(response, "unwanted", str(error))
    if group is not None and not is_member(group, response.thing):
        return refused(response, "unwanted", f"not in thing group {group}")
    if wanted_by is None:
        return Judged(response, "early")
    if isinstance(response, ArrivedOutcome):
        return Judged(response, "good", failure(response))
    return Judged(response, "wanted")


def round_for(assigned: RoundRecord, latest: RoundRecord, thing: str) -> RoundRecord | None:
    """The round that counts a client's response: that of its assignment, or in a buffered federation the `latest` one,
    if it waits for the client. None: the next round has not opened yet, and will decide.

    Raises:
        LateError: no round wants it any more.
        RefusedError: none ever did, or its thing was expelled.
    """
    if thing in assigned.expelled or thing in latest.expelled:
        raise RefusedError(EXPELLED)
    if assignment_of(assigned, thing) != assigned.round:
        raise RefusedError("not in cohort")
    if assigned.status == "open":
        return assigned
    limit = assigned.settings.max_staleness
    present = latest.round if latest.status == "open" else latest.round + 1
    if limit and present - assigned.round > limit:
        raise LateError(f"too old: assigned {present - assigned.round} rounds ago; max_staleness is {limit}")
    if limit and present <= latest.settings.rounds and assignment_of(latest, thing) == assigned.round:
        return latest if latest.status == "open" else None
    raise LateError(f"{LATE}the round is {assigned.status}")
