"""Updates, fetched ahead to be inspected: as many at once as fit into memory."""

import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from cloud.averager.responses.messages import ArrivedUpdate, AssignedRound, Response
from cloud.averager.responses.schemas import Schemas
from cloud.services import Services
from cloud.state.models import Fetched
from cloud.state.records import RoundRecord

FETCHED_BYTES = 256 << 20
"""How many bytes of updates are fetched at once to be inspected; but at least one update."""

Fetching = Iterator[tuple[ArrivedUpdate, Future[Fetched]]]


class UpdatesAhead:
    """Fetches the updates to a round's assignments: at once, if it is known how large they may be.

    Updates that were put off are likely to be put off again. They are fetched when a round wants them.
    """

    def __init__(
        self, services: Services, schemas: Schemas, assigned_in: AssignedRound, responses: Sequence[Response]
    ) -> None:
        self._services = services
        self._schemas = schemas
        self._fresh = [one for one in responses if isinstance(one, ArrivedUpdate) and not one.put_off]
        self._limit = schemas.limit_bytes(assigned_in.federation, assigned_in.life)
        self._fetching = fetch_ahead(services, self._fresh, self._limit) if self._limit else None

    def wanted(self, wanted: Sequence[ArrivedUpdate], assigned: RoundRecord) -> Fetching:
        """Those that a round wants."""
        limit, fetching = self._schemas.limit_of(assigned), self._fetching
        if fetching is None or limit != self._limit:
            fetching = fetch_ahead(self._services, self._fresh, limit)
        for update, fetched in fetching:
            if update in wanted:
                yield update, fetched
        yield from fetch_ahead(self._services, [update for update in wanted if update.put_off], limit)


def fetch_ahead(services: Services, updates: Sequence[ArrivedUpdate], limit: int) -> Fetching:
    """Updates in their order, none of more than `limit` bytes. The first are on their way from now on."""
    fetch = functools.partial(services.models.fetch, at_most=limit)
    begun = ((one, services.parallel.submit(fetch, one.key, version_id=one.version_id)) for one in updates)
    ahead = deque(itertools.islice(begun, max(1, FETCHED_BYTES // limit)))

    def following() -> Fetching:
        while ahead:
            yield ahead.popleft()
            ahead.extend(itertools.islice(begun, 1))

    return following()
