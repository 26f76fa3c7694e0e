"""The line that says how a round has ended, of which CloudWatch makes the federation's metrics.

It is written by whoever's transaction has ended the round, right after that: so there is never a second one. If the
function dies between the two, there is none.
"""

import logging
from collections.abc import Mapping
from typing import Any

from cloud.log_lines import about
from cloud.metrics import OF_FEDERATION, embedded
from cloud.state.carry_over import without_response
from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses

_log = logging.getLogger(__name__)


def tell_of_end(namespace: str, record: RoundRecord, responses: Responses) -> None:
    """Log how a round has ended."""
    figures = figures_of(record, responses)
    metrics = embedded(namespace, ("federation", record.federation), figures, record.closed_at or record.deadline)
    _log.info(
        "%s: accepted=%d failed=%d refused=%d unanswered=%d%s",
        record.status,
        record.accepted,
        record.failed,
        record.refused,
        figures["unanswered_clients"],
        f" {record.reason}" if record.reason else "",
        extra=about(record.federation, record.round, **properties_of(record), **metrics),
    )


def figures_of(record: RoundRecord, responses: Responses) -> dict[str, float]:
    """The metrics of a round that has ended; of one without a model those that there are. Pure."""
    figures: dict[str, float | None] = {
        "closed_rounds": int(record.status == "closed"),
        "aborted_rounds": int(record.status == "aborted"),
        "round_s": _between(record.opened_at, record.closed_at),
        "averaging_s": _between(record.averaging_at, record.averaged_at),
        "accepted_updates": record.accepted,
        "failed_clients": record.failed,
        "unanswered_clients": len(without_response(record, responses)),
        "update_bytes": sum(response.bytes or 0 for response in responses.accepted),
    }
    figures |= {name: value for name, value in (record.metrics or {}).items() if name in OF_FEDERATION}
    return {name: figure for name, figure in figures.items() if figure is not None}


def properties_of(record: RoundRecord) -> Mapping[str, Any]:
    """What the line says besides, and costs nothing as a metric: all that the clients have measured, for one. Pure."""
    return {
        "status": record.status,
        "cohort": len(record.cohort),
        "refused": record.refused,
        "attempts": record.attempts,
        "metrics": record.metrics or {},
        "not_finite": record.not_finite,
        "warnings": record.warnings,
        "reason": record.reason or "",
    }


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
