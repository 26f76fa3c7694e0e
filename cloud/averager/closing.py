"""From a round that has all it needs to the next one: average, write the model, move the pointer, tell everyone."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any

import msgspec

from cloud.averager.averaging import (
    NotFiniteModelError,
    apply,
    average,
    base_values,
    mean_metrics,
    new_model,
    read_update,
)
from cloud.averager.pacing import not_before
from cloud.policies import InvalidPolicyError, Update, call, round_view
from cloud.services import Services
from cloud.state.clients import ClientHistory
from cloud.state.models import Fetched
from cloud.state.records import CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import RoundMovedOnError
from protocol import names
from protocol.messages import ModelReference, OpenRound, RoundCounts, RoundNotice
from protocol.tensors import load

_log = logging.getLogger(__name__)

_PREFETCH_BYTES = 64 << 20
_PREFETCH_UPDATES = 16
_LEASE_MARGIN_S = 5.0
_MAX_REASON = 1000


def is_complete(services: Services, record: RoundRecord, now: float) -> int:
    """How many accepted updates make the round complete: its target, or, by one's own rule, as many as there are if
    the rule says so, and more than there can be if not."""
    rule = services.policy(record.settings, "is_complete")
    if rule is None:
        return record.target
    responses = services.rounds.accepted(record.federation, record.round)
    view = round_view(msgspec.structs.replace(record, accepted=len(responses)), responses, now)
    return len(responses) if responses and call(rule, bool, view) else len(record.cohort) + 1


def close_if_complete(
    services: Services, federation: str, round_number: int, needed: int, owner: str, remaining_s: float
) -> bool:
    """Average and close the round if at least `needed` updates were accepted and no one else is at it.

    A round whose updates can't be averaged, however often one tries, is aborted.
    """
    now = time.time()
    try:
        record = services.rounds.lease(
            federation, round_number, needed, owner, now, now + remaining_s + _LEASE_MARGIN_S
        )
    except RoundMovedOnError:
        return False
    telling = services.parallel.submit(services.notices.publish, _notice(record, now))
    try:
        responses, model, averaged_at = _average(services, record)
        metrics = mean_metrics(_reports(responses))
        closed = msgspec.structs.replace(
            record, status="closed", model=model, metrics=metrics, averaged_at=averaged_at, closed_at=time.time()
        )
        telling.result()
        services.rounds.end(closed, last=round_number >= record.settings.rounds)
    except RoundMovedOnError:
        _log.exception("federation=%s round=%d someone else closed it", federation, round_number)
        return False
    except (InvalidPolicyError, NotFiniteModelError) as error:
        _log.exception("federation=%s round=%d averaging failed", federation, round_number)
        wait([telling])
        return _give_up(services, record, f"averaging failed: {error}"[:_MAX_REASON])
    except Exception:
        services.rounds.release(record)
        raise
    _follow_up(services, closed, responses)
    return True


def _give_up(services: Services, record: RoundRecord, reason: str) -> bool:
    try:
        abort(services, record, reason)
    except RoundMovedOnError:
        _log.exception("federation=%s round=%d someone else ended it", record.federation, record.round)
        return False
    return True


def abort(services: Services, record: RoundRecord, reason: str) -> None:
    """End a round without a model; the next one starts from the same model as this one did.

    Raises:
        RoundMovedOnError: it is not open any more, or no more under the lease that `record` has.
    """
    responses = services.rounds.accepted(record.federation, record.round)
    _record_histories(services, record, responses)
    aborted = msgspec.structs.replace(record, status="aborted", reason=reason, closed_at=time.time())
    services.rounds.end(aborted, last=record.round >= record.settings.rounds)
    _follow_up(services, aborted, responses)


def ask_for_next(services: Services, record: RoundRecord, responses: list[ResponseRecord]) -> None:
    """Ask for the round after one that has ended, if there is to be one. Asking twice is harmless."""
    if record.round >= record.settings.rounds:
        return
    now = time.time()
    ended_at = record.closed_at or now
    try:
        earliest = not_before(
            record.settings.pacing,
            round_view(record, responses, ended_at),
            record.opened_at,
            services.policy(record.settings, "next_round_delay"),
        )
    except InvalidPolicyError:
        _log.exception("federation=%s round=%d pacing failed; going on at once", record.federation, record.round)
        earliest = now
    request = OpenRound(federation=record.federation, round=record.round + 1, not_before=earliest)
    services.notices.ask_for_round(request, now)


def _average(services: Services, record: RoundRecord) -> tuple[list[ResponseRecord], ModelReference, float]:
    """The new global model, written to S3, with the responses that went into it and the time when it was computed."""
    base_data = services.parallel.submit(services.models.get, record.base)
    responses = services.rounds.accepted(record.federation, record.round)
    remembering = services.parallel.submit(_record_histories, services, record, responses)
    header, arrays = load(base_data.result())
    base = base_values(header, arrays)
    rule = record.settings.averaging.rule
    own = services.policy(record.settings, "average")
    change = average(_updates(services, record, responses), rule, base, own)
    data = new_model(header, apply(header, base, change), record.round)
    averaged_at = time.time()
    model = services.models.put(names.model_key(record.federation, record.round), data)
    remembering.result()
    return responses, model, averaged_at


def _reports(responses: Iterable[ResponseRecord]) -> Iterator[Any]:
    return (response.report for response in responses if response.report is not None)


def _updates(services: Services, record: RoundRecord, responses: Iterable[ResponseRecord]) -> Iterator[Update]:
    """The accepted updates, in order, each the version that was inspected; a few are fetched ahead."""
    remaining = iter(responses)
    window = max(1, min(_PREFETCH_UPDATES, _PREFETCH_BYTES // record.base.bytes))

    def submit(response: ResponseRecord) -> tuple[ResponseRecord, Future[Fetched]]:
        key = names.update_key(record.federation, record.round, response.thing)
        return response, services.parallel.submit(services.models.fetch, key, version_id=response.version_id)

    ahead = deque(submit(response) for response in itertools.islice(remaining, window))
    while ahead:
        response, fetched = ahead.popleft()
        data = fetched.result().data
        ahead.extend(submit(following) for following in itertools.islice(remaining, 1))
        if response.report is not None:
            yield read_update(response.thing, data, response.report)


def _follow_up(services: Services, record: RoundRecord, responses: list[ResponseRecord]) -> None:
    """What comes after a round has ended: all of it at once."""
    answered = {response.thing for response in responses}
    leftover = [member.thing for member in record.cohort if member.thing not in answered]
    steps = [
        services.parallel.submit(ask_for_next, services, record, responses),
        services.parallel.submit(services.notices.publish, _notice(record, time.time())),
    ]
    services.notices.withdraw(record.federation, leftover, record.round)
    for step in steps:
        step.result()
    _log.info(
        "federation=%s round=%d %s: accepted=%d refused=%d unanswered=%d %s",
        record.federation,
        record.round,
        record.status,
        record.accepted,
        record.refused,
        len(leftover),
        record.reason or "",
    )


def _record_histories(services: Services, record: RoundRecord, responses: list[ResponseRecord]) -> None:
    """Before the round ends, so that the next selection sees it; in absolute values, so that a retry is harmless."""
    services.clients.record_histories(
        record.federation, [history_of(member, record, responses) for member in record.cohort]
    )


def history_of(member: CohortMember, record: RoundRecord, responses: Iterable[ResponseRecord]) -> ClientHistory:
    """A client's history after a round: its turnarounds' moving average, t = b * t + (1 - b) * turnaround with
    b = selection.smoothing, and how many rounds in a row it has missed."""
    response = next((response for response in responses if response.thing == member.thing), None)
    if response is None:
        return ClientHistory(thing=member.thing, turnaround_s=member.turnaround_s, missed=member.missed + 1)
    assigned_at = (record.notified or {}).get(member.thing, record.opened_at)
    turnaround_s = max(0.0, response.arrived_at - assigned_at)
    if member.turnaround_s is not None:
        past = record.settings.selection.smoothing
        turnaround_s = past * member.turnaround_s + (1 - past) * turnaround_s
    return ClientHistory(thing=member.thing, turnaround_s=turnaround_s, missed=0)


def _notice(record: RoundRecord, now: float) -> RoundNotice:
    return RoundNotice(
        federation=record.federation,
        round=record.round,
        state=record.status,
        model=record.model,
        counts=RoundCounts(cohort=len(record.cohort), accepted=record.accepted, refused=record.refused),
        metrics=record.metrics or {},
        reason=record.reason,
        at=now,
    )
