"""From a round that has a new model, or none, to the next one."""

import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from cloud.averager.round.client_histories import histories_of
from cloud.averager.round.pacing import EndedRound, not_before
from cloud.averager.work.model_files import key_of
from cloud.averaging.new_model import FILES
from cloud.averaging.rules import rule_of
from cloud.averaging.weighing import counted_examples
from cloud.custom_policies import InvalidPolicyError
from cloud.services import Services
from cloud.settings import Averaging
from cloud.state.carry_over import given_up, without_response
from cloud.state.records import CohortMember, RoundRecord
from cloud.state.rounds import Responses
from cloud.state.views import round_view
from protocol.messages import MAX_MESSAGE_BYTES, OpenRound, Report, RoundCounts, RoundNotice, encode

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_log = logging.getLogger(__name__)

MAX_METRICS, MAX_METRIC_NAME = 40, 64
"""So many metrics of a round are recorded, with names of so many characters."""


def follow_up(services: Services, record: RoundRecord, responses: Responses) -> None:
    """What comes after a round has ended: the state is published, assignments that nobody needs any more are
    withdrawn, and so are uploads of model files that some invocation began and did not complete; then the next round is
    asked for. Doing it again is harmless.

    The next round comes last: once it has opened, nobody looks back at what this one has left undone.
    """
    leftover = [member.thing for member in given_up(record, responses)]
    publishing = services.parallel.submit(services.notices.publish, notice_of(record))
    if record.base.bytes > services.part_bytes:  # smaller files are written at once
        keys = [key_of(file, record, record.round) for file in FILES]
        list(services.parallel.map(services.models.give_up, keys))
    services.notices.withdraw(record.federation, record.life, leftover, record.round)
    _ask_for_next(services, record)
    publishing.result()
    _log.info(
        "federation=%s round=%d %s: accepted=%d failed=%d refused=%d unanswered=%d %s",
        record.federation,
        record.round,
        record.status,
        record.accepted,
        record.failed,
        record.refused,
        len(without_response(record, responses)),
        record.reason or "",
    )


def ending(
    services: Services, record: RoundRecord, responses: Responses, room: int
) -> "tuple[RoundRecord, list[TransactWriteItemTypeDef]]":
    """The final record of a round, and at most `room` writes of its clients' histories for the same transaction. The
    other histories of an aborted round are written when this returns."""
    if record.status == "aborted":
        remember(services, record, record.cohort[room:], responses)
        record = msgspec.structs.replace(record, vanished=vanished(record, responses))
    histories = histories_of(record.cohort[:room], record, responses)
    writes = services.clients.history_writes(record.federation, histories)
    return msgspec.structs.replace(record, next_at=next_round_at(services, record, responses)), writes


def remember(services: Services, record: RoundRecord, members: Sequence[CohortMember], responses: Responses) -> None:
    """Write the histories of some of a round's clients."""
    services.clients.record_histories(record.federation, histories_of(members, record, responses))


def vanished(record: RoundRecord, responses: Responses) -> tuple[str, ...]:
    """The clients that a round waited for until its deadline in vain, and that no later one waits for."""
    ended_at = record.averaging_at or record.closed_at
    waited = ended_at is not None and ended_at >= record.deadline
    return tuple(member.thing for member in given_up(record, responses)) if waited else ()


def notice_of(record: RoundRecord) -> RoundNotice:
    """A round's state as it is published: without the last of its metrics, if it would be too long with them."""
    notice = RoundNotice(
        federation=record.federation,
        life=record.life,
        round=record.round,
        state=record.status,
        model=record.model,
        counts=RoundCounts(
            cohort=len(record.cohort), accepted=record.accepted, failed=record.failed, refused=record.refused
        ),
        metrics=dict(record.metrics or {}),
        not_finite=dict(record.not_finite),
        warnings=list(record.warnings),
        reason=record.reason,
        at=time.time(),
    )
    while len(encode(notice)) > MAX_MESSAGE_BYTES and (least := notice.metrics or notice.not_finite or notice.warnings):
        least.pop() if isinstance(least, list) else least.popitem()
    return notice


def pooled_metrics(settings: Averaging, reports: Sequence[Report]) -> tuple[dict[str, float], dict[str, int]]:
    """The clients' own metrics: `before` of the global model, `after` of the local ones. They are averaged by the
    examples that count; of a robust rule it is the median, which takes no one's word.

    Those that are not finite are not averaged, but counted: how many clients had one, by metric.

    A metric that only some clients report is averaged over these. One with a name longer than MAX_METRIC_NAME is left
    out; and of more than MAX_METRICS, those that the fewest clients report, which are the last ones. A client may make
    up as many as it likes, and a round's record has to stay small.
    """
    reported: dict[str, list[tuple[float | None, int]]] = {}
    counted = counted_examples(settings, [report.examples for report in reports])
    for report, examples in zip(reports, counted, strict=True):
        for when, metrics in (("before", report.before), ("after", report.after)):
            for name, value in metrics.items():
                if len(name) <= MAX_METRIC_NAME:
                    reported.setdefault(f"{name}_{when}", []).append((value, examples))
    pooled: dict[str, float] = {}
    not_finite: dict[str, int] = {}
    for key in sorted(reported, key=lambda key: (-len(reported[key]), key))[:MAX_METRICS]:
        finite = [(value, examples) for value, examples in reported[key] if value is not None and math.isfinite(value)]
        if finite:
            pooled[key] = _median(finite) if rule_of(settings.rule).is_robust else _mean(finite)
        if len(finite) < len(reported[key]):
            not_finite[key] = len(reported[key]) - len(finite)
    return pooled, not_finite


def _mean(values: Sequence[tuple[float, int]]) -> float:
    total = sum(examples for _, examples in values)
    least, largest = min(value for value, _ in values), max(value for value, _ in values)
    mean = sum(value * (examples / total) for value, examples in values)  # of shares, that none becomes infinite
    return min(max(mean, least), largest)


def _median(values: Sequence[tuple[float, int]]) -> float:
    ordered = sorted(value for value, _ in values)
    middle = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return middle[0] if middle[0] == middle[1] else middle[0] / 2 + middle[1] / 2  # whose sum may be infinite


def next_round_at(services: Services, record: RoundRecord, responses: Responses) -> float:
    """The earliest time for the round after one that ends, as its pacing says; a custom function that fails is
    logged, and does not hold the federation up."""
    ended_at = record.closed_at or time.time()
    try:
        last = EndedRound(
            round=round_view(record, responses.accepted, ended_at),
            opened_at=record.opened_at,
            next_round_delay=services.policy(record.settings, "next_round_delay"),
        )
        return not_before(record.settings.pacing, last)
    except InvalidPolicyError:
        _log.exception("federation=%s round=%d pacing failed; going on at once", record.federation, record.round)
        return 0.0


def _ask_for_next(services: Services, record: RoundRecord) -> None:
    if record.round < record.settings.rounds or _has_more_rounds(services, record):
        request = OpenRound(
            federation=record.federation,
            life=record.life,
            round=record.round + 1,
            not_before=record.next_at or 0.0,
        )
        services.notices.ask_for_round(request, time.time())


def _has_more_rounds(services: Services, record: RoundRecord) -> bool:
    """Whether rounds have been added since the last one opened."""
    federation = services.federations.get(record.federation)
    return federation.life == record.life and record.round == federation.round < federation.settings.rounds
