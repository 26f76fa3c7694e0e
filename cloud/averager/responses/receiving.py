"""What came back from clients with assignments of one round, in stages: it is classified, inspected, counted in one
transaction; and what does not count is set aside.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future

import msgspec

from cloud.averager.responses.classification import classify, newest_of
from cloud.averager.responses.fetching import UpdatesAhead
from cloud.averager.responses.inspection import RefusedError, inspect
from cloud.averager.responses.messages import ArrivedUpdate, AssignedRound, Response
from cloud.averager.responses.schemas import Schemas
from cloud.averager.responses.setting_aside import UncountedResponses
from cloud.averager.responses.storage_accounting import Storage
from cloud.averager.responses.strays import Strays
from cloud.averager.responses.verdicts import Judged, acceptance, records_of_good, refused
from cloud.averager.round.loop import RoundLoop
from cloud.log_lines import about
from cloud.services import Services
from cloud.state.models import Fetched, MissingObjectError, TooLargeError
from cloud.state.records import RoundRecord

_log = logging.getLogger(__name__)


class Receiver:
    """What one invocation does with responses."""

    def __init__(self, services: Services, schemas: Schemas, rounds: RoundLoop, storage: Storage) -> None:
        self._services = services
        self._schemas = schemas
        self._rounds = rounds
        self._storage = storage
        self._aside = UncountedResponses(services, rounds, storage)
        self.strays = Strays(services, schemas, storage)

    def receive(self, assigned_in: AssignedRound, responses: Sequence[Response]) -> set[str]:
        """Deal with the responses to the assignments of a round; more than once, should they come more than once.
        Returns the messages that have to come again."""
        newest = newest_of(responses)
        updates = UpdatesAhead(self._services, self._schemas, assigned_in, newest)
        assigned = self._services.opened_round(*assigned_in)
        if assigned is None:
            self.strays.record(assigned_in.federation, assigned_in.life, responses)
            return set()
        latest = self._latest(assigned)
        self._storage.count(responses, newest)
        judged = classify(newest, assigned, latest, self._is_member)
        judged = self._inspect(judged, updates, assigned)
        judged = self._count(judged, latest)
        self._aside.set_aside(judged, assigned, latest)
        self._storage.discard_too_large(responses, self._schemas.limit_of(assigned))
        return {one.response.message_id for one in judged if one.verdict == "broken"}

    def _latest(self, assigned: RoundRecord) -> RoundRecord:
        """The round in which responses to an assignment count: in a buffered federation the last one that was opened,
        if that of the assignment has ended."""
        if assigned.status == "open" or not assigned.settings.max_staleness:
            return assigned
        last_ended = self._services.federations.get(assigned.federation).round
        following = self._services.opened_round(assigned.federation, assigned.life, last_ended + 1)
        return following or self._services.rounds.of(assigned.federation, assigned.life, last_ended)

    def _is_member(self, group: str, thing: str) -> bool:
        return thing in self._services.groups.recent_members(group, time.time())

    def _inspect(self, judged: Sequence[Judged], updates: UpdatesAhead, assigned: RoundRecord) -> list[Judged]:
        """Inspect the updates that are wanted: they are good, refused, or broken."""
        wanted = [one.response for one in judged if one.verdict == "wanted" and isinstance(one.response, ArrivedUpdate)]
        fetched = updates.wanted(wanted, assigned)
        found = {update.thing: self._inspected(update, fetching, assigned) for update, fetching in fetched}
        return [found[one.thing] if one.verdict == "wanted" else one for one in judged]

    def _inspected(self, update: ArrivedUpdate, fetching: Future[Fetched], assigned: RoundRecord) -> Judged:
        try:
            fetched = fetching.result()
            inspected = inspect(fetched.data, update.name, assigned, self._schemas.of(assigned))
            self._services.models.cache(update.key, fetched)  # it will be averaged, often by this very invocation
        except (RefusedError, TooLargeError, MissingObjectError) as error:
            return refused(update, "refused", str(error))
        except Exception:
            # Whatever it is, only this message comes again: what others have sent is counted without it.
            _log.exception("inspection failed", extra=about(assigned.federation, assigned.round, update.thing))
            return Judged(update, "broken")
        seen = msgspec.structs.replace(update, version_id=update.version_id or fetched.version_id)
        return Judged(update, "good", acceptance(seen, len(fetched.data), inspected, time.time()))

    def _count(self, judged: Sequence[Judged], latest: RoundRecord) -> list[Judged]:
        """Count what is good. What came too late for its round is early for the next one."""
        if all(one.verdict == "early" and one.response.put_off for one in judged):
            return list(judged)
        late = self._rounds.count(latest, records_of_good(judged))
        return [
            Judged(one.response, "early" if one.thing in late else "counted") if one.verdict == "good" else one
            for one in judged
        ]
