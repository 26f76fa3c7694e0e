"""The records of updates that don't count."""

import logging
from collections.abc import Sequence

from cloud.averager.responses.storage_accounting import Storage
from cloud.services import Services
from cloud.state.records import ResponseRecord

_log = logging.getLogger(__name__)


class Refusals:
    """Records what was refused, with its reasons, and counts it as junk."""

    def __init__(self, services: Services, storage: Storage) -> None:
        self._services = services
        self._storage = storage

    def record(self, federation: str, life: str, round_number: int, refused: Sequence[ResponseRecord]) -> None:
        """Record updates that don't count, in a round."""
        self._storage.junk_bytes += sum(response.bytes or 0 for response in refused)
        for response in refused:
            _log.warning(
                "federation=%s round=%d thing=%s refused: %s", federation, round_number, response.thing, response.reason
            )
        self._services.rounds.refuse(federation, round_number, refused, life)
