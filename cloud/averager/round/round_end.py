"""What ends a round, and what is known of it then: pure functions of the round and of what came back in it."""

import logging
from collections.abc import Callable
from typing import Any

from cloud.averager.round.pacing import EndedRound, not_before
from cloud.averager.round.pooled_metrics import pooled_metrics
from cloud.averager.work.sources import inclusions_of
from cloud.averaging.new_model import NotFiniteModelError
from cloud.custom_policies import InvalidPolicyError, call
from cloud.log_lines import about
from cloud.state.carry_over import given_up
from cloud.state.lifecycle import Aborted, Averaged, ends_at_target, needed
from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses
from cloud.state.views import round_view
from protocol.messages import ModelReference

_log = logging.getLogger(__name__)

MAX_REASON = 1000
"""So many characters of why averaging failed are kept."""


def may_be_satisfied(before: RoundRecord, after: RoundRecord) -> bool:
    """Whether `is_satisfied` is to be asked after a step: there is a new update, and there are enough."""
    is_news = after.accepted > before.accepted and after.accepted >= needed(after)
    return is_news and not ends_at_target(after)


def is_satisfied(record: RoundRecord, responses: Responses, is_complete: Callable[..., Any], now: float) -> bool:
    """What the user's `is_complete` says of an open round; one that fails is logged, and the round goes on."""
    try:
        satisfied: bool = call(is_complete, bool, round_view(record, responses.accepted, now))
    except InvalidPolicyError:
        _log.exception("is_complete failed", extra=about(record.federation, record.round))
        return False
    return satisfied


def averaged(
    record: RoundRecord,
    responses: Responses,
    *,
    owner: str,
    model: ModelReference,
    warnings: tuple[str, ...],
    averaged_at: float,
) -> Averaged:
    """What the owner of the lease says of the model that it has written."""
    reports = [response.report for response in responses.accepted if response.report is not None]
    inclusions = inclusions_of(record)
    included = [inclusions.get((report.thing, report.round), 1.0) for report in reports]
    pooled = pooled_metrics(record.settings.averaging, reports, included)
    return Averaged(
        owner=owner,
        model=model,
        metrics=pooled.metrics,
        spreads=pooled.spreads,
        not_finite=pooled.not_finite,
        warnings=warnings,
        averaged_at=averaged_at,
        vanished=vanished(record, responses),
    )


def evaluated(record: RoundRecord, responses: Responses, owner: str, now: float) -> Averaged:
    """What the owner of the lease says of a round that evaluates: its model stays what it was."""
    return averaged(record, responses, owner=owner, model=record.base, warnings=(), averaged_at=now)


HOPELESS = (InvalidPolicyError, NotFiniteModelError)
"""Errors of the arithmetic that another try would only repeat."""


def given_up_on(record: RoundRecord, error: Exception) -> Aborted:
    """What happens to a round whose averaging would fail again."""
    _log.error("averaging failed", exc_info=error, extra=about(record.federation, record.round))
    return Aborted(f"averaging failed: {error}"[:MAX_REASON])


def vanished(record: RoundRecord, responses: Responses) -> tuple[str, ...]:
    """The clients that a round waited for until its deadline in vain, and that no later one waits for."""
    ended_at = record.averaging_at or record.closed_at
    waited = ended_at is not None and ended_at >= record.deadline
    return tuple(member.thing for member in given_up(record, responses)) if waited else ()


def next_round_at(
    record: RoundRecord, responses: Responses, next_round_delay: Callable[..., Any] | None = None
) -> float:
    """The earliest time for the round after one that ends, as its pacing says; a custom function that fails is
    logged, and does not hold the federation up."""
    ended_at = record.opened_at if record.closed_at is None else record.closed_at
    try:
        last = EndedRound(
            round=round_view(record, responses.accepted, ended_at),
            opened_at=record.opened_at,
            average_s=record.average_s,
            next_round_delay=next_round_delay,
        )
        return not_before(record.settings.pacing, last)
    except InvalidPolicyError:
        _log.exception("pacing failed; going on at once", extra=about(record.federation, record.round))
        return 0.0
