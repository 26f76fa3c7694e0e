"""The records of updates that don't count."""

import logging
from collections.abc import Sequence

from cloud.averager.responses.storage_accounting import Storage
from cloud.log_lines import about
from cloud.metrics import embedded
from cloud.services import Services
from cloud.state.records import ResponseRecord

_log = logging.getLogger(__name__)


def record_refused(
    services: Services, storage: Storage, federation: str, life: str, number: int, refused: Sequence[ResponseRecord]
) -> None:
    """Record updates that don't count in the round of this number, with their reasons, and count them as junk. Each is
    told of in a line of its own, by which CloudWatch counts those of a federation: many come when their round is
    over."""
    storage.junk_bytes += sum(response.bytes or 0 for response in refused)
    for response in refused:
        counted = {"late_updates" if response.is_late else "refused_updates": 1}
        metrics = embedded(services.namespace, ("federation", federation), counted, response.inspected_at)
        _log.warning(
            "refused: %s",
            response.reason,
            extra=about(federation, number, response.thing, reason=response.reason, **metrics),
        )
    services.rounds.refuse(federation, number, refused, life)
