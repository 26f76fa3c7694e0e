"""A round's life, as a pure function of its state, what happens to it, and the time.

             claim
               │
               ▼     target reached, or is_complete;               lease expired, or let go:
          ┌─────────┐  all answered with quorum;   ┌───────────┐   taken over
          │  open   │  deadline with quorum        │ averaging │──────────┐
          │         │─────────────────────────────►│  (lease)  │◄─────────┘
          └─┬──┬──▲─┘                              └───┬────┬──┘
            │  │  │ deadline below quorum:             │    │ model written
            │  └──┘ extended, once                     │    ▼
            │                                   abort, │  ┌────────┐
            │ extended deadline below quorum;  5 tries │  │ closed │
            │ all answered below quorum; abort         ▼  └────────┘
            └─────────────────────────────────────►┌─────────┐
                                                   │ aborted │
                                                   └─────────┘

A round that is too large for one invocation is sharded under the first lease, and then averaged in jobs: whoever takes
a lease hands out those that are open, each one done renews the lease, and the last one of a stage takes it.

Nothing leaves closed and aborted. Whoever acts reads the round, takes a `step`, and writes the new state on condition
that the round's version is still the one that was read (`Rounds.write`); if it isn't, someone else was faster, and
the step is taken again from what there is now. So it never matters how often, in what order, or by how many a
round's events are handled.
"""

import msgspec

from cloud.averaging.rules import least_updates
from cloud.state.completion import completion_of
from cloud.state.records import FederationRecord, ResponseState, RoundRecord, Work
from cloud.state.round_warnings import merged
from cloud.state.spread import Spread
from protocol.messages import ModelReference

MAX_ATTEMPTS = 5
MIN_LEASE_S = 15.0
_BYTES_PER_S = 5e6


class Lease(msgspec.Struct, frozen=True):
    """Who would average, and until when at most."""

    owner: str
    until: float


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Clients responded: `accepted` updates passed inspection, `failed` clients reported that none will come;
    `recovered` of the accepted are from clients that had failed before."""

    accepted: int = 0
    failed: int = 0
    recovered: int = 0


class Satisfied(msgspec.Struct, frozen=True):
    """The custom `is_complete` says that the round has all it needs."""


class Checked(msgspec.Struct, frozen=True):
    """It is time to look: a deadline or a lease may have ended."""


class Aborted(msgspec.Struct, frozen=True):
    """An operator ends the round."""

    reason: str


class Expelled(msgspec.Struct, frozen=True):
    """An operator expels a thing, whose response so far is like this, if it has one."""

    thing: str
    response: ResponseState | None = None


class Sharded(msgspec.Struct, frozen=True):
    """The owner of the lease has found that several invocations have to average."""

    owner: str
    work: Work


class JobDone(msgspec.Struct, frozen=True):
    """A job of a stage of the round's work is done, by whomever, with warnings of what it has written."""

    stage: int
    job: int
    warnings: tuple[str, ...] = ()


class Averaged(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of the lease has written the new model, or taken the clients' evaluations of the old one together."""

    owner: str
    model: ModelReference
    metrics: dict[str, float]
    spreads: dict[str, Spread] = {}
    not_finite: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    averaged_at: float
    vanished: tuple[str, ...]


class LetGo(msgspec.Struct, frozen=True):
    """The owner of the lease could not average, for a reason, and lets others try."""

    owner: str
    reason: str


Event = Counted | Satisfied | Checked | Aborted | Expelled | Sharded | JobDone | Averaged | LetGo


def step(record: RoundRecord, event: Event, now: float, lease: Lease) -> RoundRecord:
    """The round after an event; the same round if the event changes nothing (any more)."""
    match event:
        case Counted() if record.status == "open" and (event.accepted or event.failed):
            return _settle(_count(record, event), now, lease)
        case Satisfied() if record.status == "open" and record.accepted >= needed(record):
            return _average(record, now, lease)
        case Checked():
            return _check(record, now, lease)
        case Aborted(reason) if record.status in ("open", "averaging"):
            return _abort(record, reason, now)
        case Expelled() if record.status == "open" and event.thing not in record.expelled:
            return _settle(_expel(record, event), now, lease)
        case Sharded(owner, work) if _is_mine(record, owner) and record.work is None:
            return msgspec.structs.replace(record, work=work, lease_until=lease.until)
        case JobDone() if record.status == "averaging" and record.work is not None:
            return _finish_job(record, record.work, event, lease)
        case Averaged() if _is_mine(record, event.owner):
            return msgspec.structs.replace(
                record,
                status="closed",
                model=event.model,
                metrics=event.metrics,
                spreads=event.spreads,
                not_finite=event.not_finite,
                warnings=merged(record.warnings, event.warnings),
                averaged_at=event.averaged_at,
                closed_at=now,
                vanished=event.vanished,
                lease_owner=None,
                lease_until=None,
            )
        case LetGo(owner, reason) if _is_mine(record, owner):
            if record.attempts >= MAX_ATTEMPTS:
                return _abort(record, f"averaging failed {record.attempts} times, at last with {reason}", now)
            return msgspec.structs.replace(record, lease_until=0.0)
        case _:
            return record


def lease_s(bytes_to_read: float, limit_s: float) -> float:
    """How long averaging so much may take before someone else may try: generous, and never longer than an invocation
    lives. A lease too short costs double work, not a wrong result."""
    return min(limit_s, MIN_LEASE_S + bytes_to_read / _BYTES_PER_S)


def needed(record: RoundRecord) -> int:
    """How many updates a round has to have, whatever ends it: its quorum, or more if its rule takes no fewer."""
    return max(record.quorum, _least(record))


def ends_at_target(record: RoundRecord) -> bool:
    """Whether its target ends a round; else the user's `is_complete` does, which looks at updates."""
    return record.evaluates or completion_of(record.settings.completion).ends_at_target


def next_check(record: RoundRecord) -> float | None:
    """When the round has to be looked at, should nothing happen before; None if it has ended."""
    if record.status == "open":
        return record.deadline
    return record.lease_until if record.status == "averaging" else None


def is_stalled(federation: FederationRecord, record: RoundRecord | None, now: float) -> bool:
    """Whether a running federation is overdue: its next round should be open, or the open one, `record`, should have
    been checked. Briefly this is true of any."""
    if federation.status != "running":
        return False
    due = federation.next_at if record is None else next_check(record)
    return due is not None and due <= now


def _count(record: RoundRecord, event: Counted) -> RoundRecord:
    return msgspec.structs.replace(
        record,
        accepted=record.accepted + event.accepted,
        failed=record.failed + event.failed - event.recovered,
    )


def _expel(record: RoundRecord, event: Expelled) -> RoundRecord:
    """Without a client, which from now on has failed, whatever its response was."""
    is_client = any(member.thing == event.thing for member in record.cohort)
    return msgspec.structs.replace(
        record,
        expelled=tuple(sorted({*record.expelled, event.thing})),
        accepted=record.accepted - (event.response == "accepted"),
        failed=record.failed + (is_client and event.response not in ("failed", "declined")),
    )


def _settle(record: RoundRecord, now: float, lease: Lease) -> RoundRecord:
    """Ends an open round that has its target, or that no more can come to."""
    if ends_at_target(record) and record.accepted >= max(record.target, _least(record)):
        return _average(record, now, lease)
    if record.accepted + record.failed < len(record.cohort):
        return record
    if record.accepted >= needed(record):
        return _average(record, now, lease)
    return _abort(record, f"all clients have answered, with {_below_quorum(record)}", now, carry=True)


def _check(record: RoundRecord, now: float, lease: Lease) -> RoundRecord:
    if record.status == "averaging" and now >= (record.lease_until or 0.0):
        if record.attempts >= MAX_ATTEMPTS:
            return _abort(record, f"averaging was cut off, the last of {record.attempts} times", now)
        return _average(record, now, lease)
    if record.status != "open" or now < record.deadline:
        return record
    if record.accepted >= needed(record):
        return _average(record, now, lease)
    if not record.extended and record.settings.extension_s > 0:
        return msgspec.structs.replace(record, extended=True, deadline=record.deadline + record.settings.extension_s)
    reached = "the extended deadline" if record.extended else "the deadline"
    return _abort(record, f"{reached} was reached with {_below_quorum(record)}", now, carry=True)


def _average(record: RoundRecord, now: float, lease: Lease) -> RoundRecord:
    return msgspec.structs.replace(
        record,
        status="averaging",
        averaging_at=record.averaging_at or now,
        attempts=record.attempts + 1,
        lease_owner=lease.owner,
        lease_until=lease.until,
    )


def _finish_job(record: RoundRecord, work: Work, event: JobDone, lease: Lease) -> RoundRecord:
    if (event.stage, event.job) not in ((work.stage, job) for job in work.open_jobs):
        return record
    record = msgspec.structs.replace(record, warnings=merged(record.warnings, event.warnings))
    done = (*work.done, event.job)
    if len(done) < work.jobs:
        until = max(record.lease_until or 0.0, lease.until)
        return msgspec.structs.replace(record, work=msgspec.structs.replace(work, done=done), lease_until=until)
    work = msgspec.structs.replace(work, stage=work.stage + 1, done=())
    return msgspec.structs.replace(record, work=work, lease_owner=lease.owner, lease_until=lease.until)


def _abort(record: RoundRecord, reason: str, now: float, *, carry: bool = False) -> RoundRecord:
    return msgspec.structs.replace(
        record,
        status="aborted",
        reason=reason,
        closed_at=now,
        carry=carry and record.settings.carries_over,
        lease_owner=None,
        lease_until=None,
    )


def _least(record: RoundRecord) -> int:
    """What a round could not make anything of less."""
    return 1 if record.evaluates else least_updates(record.settings.averaging)


def _below_quorum(record: RoundRecord) -> str:
    if record.accepted >= record.quorum:
        return f"{record.accepted} updates; averaging.rule {record.settings.averaging.rule} needs {needed(record)}"
    return f"{record.accepted} updates; the quorum is {record.quorum} of {len(record.cohort)} clients"


def _is_mine(record: RoundRecord, owner: str) -> bool:
    return record.status == "averaging" and record.lease_owner == owner
