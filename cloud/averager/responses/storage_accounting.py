"""What devices store in the bucket: how much it is, how much of it does not count, and what of it is deleted."""

import logging
from collections.abc import Collection, Iterable
from concurrent.futures import Executor

from cloud.averager.responses.messages import ArrivedUpdate, Junk, Response
from cloud.state.models import Models
from protocol import names

_log = logging.getLogger(__name__)


class Storage:
    """What one invocation learns of what devices store. `stored_bytes` is how much is new, `junk_bytes` how much does
    not count. `refused_updates` leaves out those whose only fault is to be late."""

    def __init__(self, models: Models, parallel: Executor) -> None:
        self._models = models
        self._parallel = parallel
        self._discarded: list[ArrivedUpdate | Junk] = []
        self.stored_bytes = 0
        self.junk_bytes = 0
        self.refused_updates = 0

    def count(self, group: Iterable[Response], looked_at: Collection[Response]) -> None:
        """Count stored bytes. Updates that are not `looked_at` are junk at once; the others are judged later."""
        versions = {one.version_id for one in looked_at if isinstance(one, ArrivedUpdate)}
        for one in group:
            if isinstance(one, ArrivedUpdate) and not one.put_off:
                self.stored_bytes += one.size
                self.junk_bytes += 0 if one.version_id in versions else one.size

    def discard(self, stored: ArrivedUpdate | Junk) -> None:
        """Have deleted what is no update of any federation."""
        self.stored_bytes += stored.size
        self.junk_bytes += stored.size
        self.refused_updates += 1
        self._discard(stored)

    def discard_too_large(self, group: Iterable[Response], limit: int) -> None:
        """Have deleted what is larger than any update of the federation's model: what a client can store is bounded."""
        for one in group:
            if isinstance(one, ArrivedUpdate) and one.size > limit:
                self._discard(one)

    def delete_discarded(self) -> set[str]:
        """Delete all that was discarded, at once: there may be as many objects as messages. Returns the messages that
        have to come again, since what they tell of is there still."""
        return {message_id for message_id in self._parallel.map(self._delete, self._discarded) if message_id}

    def _delete(self, stored: ArrivedUpdate | Junk) -> str | None:
        try:
            self._models.delete(stored.key, stored.version_id or "")
        except Exception:
            # Whatever it is, only this message comes again.
            _log.exception("%s was not deleted", stored.key)
            return stored.message_id
        return None

    def _discard(self, stored: ArrivedUpdate | Junk) -> None:
        if stored.version_id is not None and stored.key.startswith(names.UPDATES_PREFIX):
            _log.warning("deleted: %s, %d bytes", stored.key, stored.size)
            self._discarded.append(stored)
