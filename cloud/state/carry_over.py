"""What a round that has ended hands over to the next one: updates that it could not use, and clients that still work.

All of it are pure functions of the round and what came back in it, so that whoever asks gets the same.
"""

import msgspec

from cloud.state.records import ITEM_BYTES, Carried, CohortMember, RoundRecord, fixed_item, size_of
from cloud.state.rounds import Responses

_SPARE_BYTES = 2048
"""What an item of DynamoDB keeps for its key and for itself."""


def assignment_of(record: RoundRecord, thing: str) -> int | None:
    """The round of the assignment that this round waits for, of one of its clients; None if it has no such client."""
    for member in record.cohort:
        if member.thing == thing:
            return record.round if member.assigned_in is None else member.assigned_in
    return None


def without_response(record: RoundRecord, responses: Responses) -> list[CohortMember]:
    """The clients of the cohort that have neither an accepted update nor an outcome."""
    responded = {response.thing for response in (*responses.accepted, *responses.failed)}
    return [member for member in record.cohort if member.thing not in responded]


def busy_after(record: RoundRecord, responses: Responses) -> tuple[CohortMember, ...]:
    """The clients that a round waited for and the next one waits for as well, with their histories as they were when
    they got their assignments (Nguyen et al., FedBuff, 2022, algorithm 1: a client trains on while the server goes on).

    These are the clients without a response whose assignment will not be older than `max_staleness` then. One whose
    update was refused, or that was never notified, is not busy. If no notifications are recorded, all clients count as
    notified: whoever opens the next round notifies them. A round that was aborted for another reason than its quorum
    hands over nothing, nor does one that evaluates, or that no other follows.
    """
    if record.evaluates or record.round >= record.settings.rounds or record.stopped:
        return ()
    if record.status == "aborted" and not record.carry:
        return ()
    refused = {response.thing for response in responses.refused}
    is_noted = record.notified_at is not None or bool(responses.notified)
    busy = []
    for member in without_response(record, responses):
        if member.thing in refused:
            continue
        if member.assigned_in is not None:
            since = member
        elif is_noted and member.thing not in responses.notified:
            continue
        else:
            at = responses.notified.get(member.thing, record.opened_at)
            since = msgspec.structs.replace(member, assigned_in=record.round, assigned_at=at)
        if record.round + 1 - (since.assigned_in or record.round) <= record.settings.max_staleness:
            busy.append(since)
    return tuple(busy)


def given_up(record: RoundRecord, responses: Responses) -> list[CohortMember]:
    """The clients without a response that no round waits for any more."""
    busy = {member.thing for member in busy_after(record, responses)}
    return [member for member in without_response(record, responses) if member.thing not in busy]


def carried_after(record: RoundRecord, responses: Responses) -> tuple[Carried, ...]:
    """The accepted updates that neither this round nor an earlier one could use. In a buffered federation none is older
    than `max_staleness`. A round that evaluates uses none, and has none to add."""
    if not record.carry and not record.evaluates:
        return ()
    older = {c.thing: msgspec.structs.replace(c, age=c.age + 1) for c in record.carried}
    inclusions = {member.thing: member.inclusion for member in record.cohort}
    new = {
        r.thing: Carried(
            thing=r.thing,
            round=record.round,
            age=record.round + 1 - r.report.round,
            inclusion=inclusions.get(r.thing),
        )
        for r in responses.accepted
        if r.report is not None and not record.evaluates
    }
    carried = older | new
    limit = record.settings.max_staleness or record.round
    return tuple(carried[thing] for thing in sorted(carried) if carried[thing].age <= limit)


def carrying_what_fits(record: RoundRecord) -> RoundRecord:
    """A round that is to be opened, with as many of the updates carried over to it as its plan has room for: the
    newest."""
    if not record.carried:
        return record
    without = msgspec.structs.replace(record, carried=())
    room = ITEM_BYTES - _SPARE_BYTES - size_of(fixed_item(without))
    fitting = []
    for carried in sorted(record.carried, key=lambda one: (one.age, one.thing)):
        room -= len(msgspec.json.encode(carried)) + 1
        if room < 0:
            break
        fitting.append(carried)
    return msgspec.structs.replace(record, carried=tuple(sorted(fitting, key=lambda one: one.thing)))
