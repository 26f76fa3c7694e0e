"""What came back from clients with assignments of one round: what counts is counted in one transaction, what does not
is recorded with its reason, and what comes between two rounds of a buffered federation is put off.
"""

import functools
import itertools
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future

from cloud.averager.responses.inspection import LateError, RefusedError, inspect, round_for
from cloud.averager.responses.messages import MAX_REASON, Arrival, Word
from cloud.averager.responses.schemas import Schemas
from cloud.averager.responses.storage import Storage
from cloud.averager.round.loop import RoundLoop
from cloud.services import Services
from cloud.state.federations import UnknownFederationError
from cloud.state.models import Fetched, MissingObjectError, TooLargeError
from cloud.state.records import FederationRecord, ResponseRecord, RoundRecord
from cloud.state.rounds import UnknownRoundError

_log = logging.getLogger(__name__)

FETCHED_BYTES = 256 << 20
"""How many bytes of updates are fetched at once to be inspected; but at least one update."""
_STRAYS = 0
"""Updates to rounds that never were are recorded with round 0, which is none."""

_MIN_WAIT_S = 1.0
"""What came between two rounds comes again after this at first, and then each time after twice as long."""

MAX_WAIT_S = 14 * 86_400
"""If no round has opened after this, as the federation is paused, what waits for one is given up."""


class Responder:
    """What one invocation does with responses. `failed` are the messages that have to come again."""

    def __init__(self, services: Services, schemas: Schemas, rounds: RoundLoop, storage: Storage) -> None:
        self._services = services
        self._schemas = schemas
        self._rounds = rounds
        self._storage = storage
        self.failed: set[str] = set()

    def record_strays(self, federation: str, life: str, said: Sequence[Arrival | Word]) -> None:
        """Record updates to rounds that never were, or were in another life, of each client the last one; but not those
        to a federation that never was: a device may make up as many as it likes, and each record would stay."""
        strays = [stray for stray in said if isinstance(stray, Arrival)]
        try:
            present = self._services.federations.get(federation)
        except UnknownFederationError:
            for stray in strays:
                _log.warning("federation=%s thing=%s: there is no such federation", federation, stray.thing)
                self._storage.discard(stray)
            return
        newest = [stray for stray in _newest(strays) if isinstance(stray, Arrival)]
        self._storage.count(strays, newest)
        refused: dict[int, list[ResponseRecord]] = defaultdict(list)
        for stray in newest:
            if life == present.life:
                refused[_STRAYS].append(_refusal(stray, f"unknown round {stray.name.round}"))
            else:
                place = self._place_of(federation, present.life, stray.name.round)
                refused[place].append(_refusal(stray, _of_another_life(life, present)))
        for place, responses in refused.items():
            self._refuse(federation, present.life, place, responses)
        self._storage.refused_updates += len(newest)
        self._storage.discard_too_large(strays, self._schemas.limit_of(present))

    def _place_of(self, federation: str, life: str, round_number: int) -> int:
        """The round in which a stray is recorded: the one of its number, if this life has it."""
        try:
            return self._services.rounds.of(federation, life, round_number).round
        except UnknownRoundError:
            return _STRAYS

    def respond(self, federation: str, life: str, round_number: int, said_of_it: Sequence[Arrival | Word]) -> None:
        """Deal with what clients say of their assignments of a round; more than once, should it come more than once."""
        group = _newest(said_of_it)
        arrivals = [said for said in group if isinstance(said, Arrival)]
        # What was put off is likely to be put off again: it is fetched when there is a round that wants it.
        fresh = [arrival for arrival in arrivals if not arrival.put_off]
        limit = self._schemas.limit_bytes(federation, life)
        fetching = self._fetch_all(fresh, limit) if limit else None
        try:
            record = self._services.rounds.of(federation, life, round_number)
        except UnknownRoundError:
            self.record_strays(federation, life, said_of_it)
            return
        self._storage.count(said_of_it, group)
        limit_then, limit = limit, self._schemas.limit_of(record)
        if fetching is None or limit != limit_then:  # nothing was known of the federation
            fetching = self._fetch_all(fresh, limit)
        latest = self._latest(record)
        early: list[Arrival | Word] = []
        late: dict[str, ResponseRecord] = {}
        unwanted: dict[str, ResponseRecord] = {}
        wanted: list[Arrival | Word] = []
        for said in group:
            try:
                is_early = round_for(record, latest, said.thing) is None
                self._check_membership(record, said.thing)
            except RefusedError as error:
                if isinstance(said, Arrival):
                    (late if isinstance(error, LateError) else unwanted)[said.thing] = _refusal(said, str(error))
            else:
                (early if is_early else wanted).append(said)
        responses = {word.thing: _failure(word) for word in wanted if isinstance(word, Word)}
        again = [said for said in wanted if isinstance(said, Arrival) and said.put_off]
        inspected = [
            *self._inspect_all(fresh, fetching, wanted, record),
            *self._inspect_all(again, self._fetch_all(again, limit), wanted, record),
        ]
        responses |= {response.thing: response for response in inspected if response.state == "accepted"}
        refused = {response.thing: response for response in inspected if response.state == "refused"}
        if len(early) < len(group) or not all(said.put_off for said in early):
            not_counted = self._rounds.count(latest, responses)
            early += [said for said in wanted if said.thing in not_counted and said.thing not in refused]
        if early or late or unwanted or refused:
            self._set_aside(record, latest, early, late, unwanted, refused)
        self._storage.discard_too_large(said_of_it, limit)

    def _set_aside(
        self,
        assigned: RoundRecord,
        latest: RoundRecord,
        early: Sequence[Arrival | Word],
        late: dict[str, ResponseRecord],
        unwanted: dict[str, ResponseRecord],
        refused: dict[str, ResponseRecord],
    ) -> None:
        """Deal with all that does not count now. Updates that failed their inspection are recorded in the round that
        waited for them, others in that of their assignment."""
        rounds = range(assigned.round, min(latest.round, assigned.round + assigned.settings.max_staleness) + 1)
        things = {said.thing for said in early} | late.keys() | unwanted.keys() | refused.keys()
        found = self._services.rounds.responses_of(assigned.federation, rounds, things)
        on_record = [response for response in found if response.life == assigned.life]
        waiting_before = [response for response in on_record if response.state == "early"]
        answered = {response.thing for response in on_record if response.state not in ("refused", "early")}
        now = time.time()
        if any(said.put_off and said.thing in answered for said in early):
            self._rounds.check(latest)  # this is a redelivery: what the first delivery led to may have been cut off
        # Whose clients have answered already, no round will want; nor any, if the federation is not buffered.
        waiting = [said for said in early if assigned.settings.max_staleness and said.thing not in answered]
        coming = [said for said in waiting if now - said.arrived_at <= MAX_WAIT_S]
        late = late | {
            said.thing: _refusal(
                said,
                f"too old: no round has opened for {MAX_WAIT_S // 86_400} days"
                if said in waiting
                else "late: the round is no longer open",
            )
            for said in early
            if isinstance(said, Arrival) and said not in coming
        }
        # An update that is on record and comes again is a duplicate, which is no news.
        known = {(response.thing, response.version_id) for response in on_record if response.state != "early"}
        news: dict[int, list[ResponseRecord]] = defaultdict(list)
        for round_number, responses in ((assigned.round, late | unwanted), (latest.round, refused)):
            news[round_number] += [r for r in responses.values() if (r.thing, r.version_id) not in known]
        for round_number, responses_to_it in news.items():
            self._refuse(assigned.federation, assigned.life, round_number, responses_to_it)
            self._storage.refused_updates += sum(response.thing not in late for response in responses_to_it)
        # At last: had something failed after it, each would come twice.
        self._put_off(assigned, coming, waiting_before)

    def _check_membership(self, record: RoundRecord, thing: str) -> None:
        group = record.settings.thing_group
        if group is not None and thing not in self._services.groups.recent_members(group, time.time()):
            raise RefusedError(f"not in thing group {group}")

    def _latest(self, assigned: RoundRecord) -> RoundRecord:
        """The round in which responses to an assignment count: in a buffered federation the last one that was opened,
        if that of the assignment has ended."""
        if assigned.status == "open" or not assigned.settings.max_staleness:
            return assigned
        last_ended = self._services.federations.get(assigned.federation).round
        try:
            return self._services.rounds.of(assigned.federation, assigned.life, last_ended + 1)
        except UnknownRoundError:
            return self._services.rounds.of(assigned.federation, assigned.life, last_ended)

    def _put_off(
        self, assigned: RoundRecord, coming: Sequence[Arrival | Word], known: Sequence[ResponseRecord]
    ) -> None:
        """Have what came between two rounds come again, the sooner the newer it is; until the next one has opened,
        which decides. Of each client only the newest does: it may send as many as it likes."""
        coming = [said for said in coming if not any(_is_newer(other, _early(said, assigned.life)) for other in known)]
        if not coming:
            return
        next_at, now = self._services.federations.get(assigned.federation).next_at, time.time()
        replaced = {one.key for one in known}
        self._storage.junk_bytes += sum(
            said.size for said in coming if isinstance(said, Arrival) and said.key in replaced
        )
        new = [early for said in coming if (early := _early(said, assigned.life)) not in known]
        self._services.rounds.put_off(assigned.federation, assigned.round, new)
        for said in coming:
            wait_s = max(_MIN_WAIT_S, now - said.arrived_at)
            self._services.notices.put_off(said.body, max(next_at, now + wait_s), now)

    def _inspect_all(
        self,
        arrivals: Sequence[Arrival],
        fetching: Iterable[Future[Fetched]],
        wanted: Sequence[Arrival | Word],
        record: RoundRecord,
    ) -> Iterator[ResponseRecord]:
        for arrival, fetched in zip(arrivals, fetching, strict=True):
            if arrival not in wanted:
                continue
            try:
                yield self._inspect(arrival, fetched, record)
            except (RefusedError, TooLargeError, MissingObjectError) as error:
                yield _refusal(arrival, str(error))
            except Exception:
                # Whatever it is, only this message comes again: what others have sent is counted without it.
                _log.exception("federation=%s round=%d thing=%s failed", record.federation, record.round, arrival.thing)
                self.failed.add(arrival.message_id)

    def _inspect(self, arrival: Arrival, fetched: Future[Fetched], record: RoundRecord) -> ResponseRecord:
        update = fetched.result()
        inspected = inspect(update.data, arrival.name, record, self._schemas.of(record))
        self._services.models.keep(arrival.key, update)  # it will be averaged, often by this very invocation
        return ResponseRecord(
            thing=arrival.thing,
            state="accepted",
            arrived_at=arrival.arrived_at,
            inspected_at=time.time(),
            key=arrival.key,
            version_id=arrival.version_id or update.version_id,
            bytes=len(update.data),
            data_start=inspected.data_start,
            norm=inspected.norm,
            integer_change=inspected.integer_change,
            report=inspected.report,
        )

    def _fetch_all(self, arrivals: Sequence[Arrival], limit: int) -> Iterator[Future[Fetched]]:
        """The updates in their order. As many as fit into memory are on their way at once, the first from now on."""
        fetch = functools.partial(self._services.models.fetch, at_most=limit)
        ahead: deque[Future[Fetched]] = deque()

        def begin(more: Sequence[Arrival]) -> None:
            ahead.extend(self._services.parallel.submit(fetch, a.key, version_id=a.version_id) for a in more)

        at_once = max(1, FETCHED_BYTES // limit)
        begin(arrivals[:at_once])
        remaining = iter(arrivals[at_once:])

        def following() -> Iterator[Future[Fetched]]:
            while ahead:
                yield ahead.popleft()
                begin(list(itertools.islice(remaining, 1)))

        return following()

    def _refuse(self, federation: str, life: str, round_number: int, refused: Sequence[ResponseRecord]) -> None:
        self._storage.junk_bytes += sum(response.bytes or 0 for response in refused)
        for response in refused:
            _log.warning(
                "federation=%s round=%d thing=%s refused: %s", federation, round_number, response.thing, response.reason
            )
        self._services.rounds.refuse(federation, round_number, refused, life)


def _of_another_life(life: str, present: FederationRecord) -> str:
    if not life:
        return (
            f"another life: it does not say that it is for this one, {present.life}: update com.fedgrass.Client on the "
            "device, unless it was made for an earlier federation of this name"
        )
    return (
        f"another life: it was made for an earlier federation of this name, {life}, not for this one, "
        f"{present.life or 'which is older than lives'}"
    )


def _newest(group: Sequence[Arrival | Word]) -> list[Arrival | Word]:
    """What each client has said last of its assignment, an update and a word: of what it sends before, however
    often, nothing is fetched."""
    newest: dict[tuple[str, type], Arrival | Word] = {}
    for said in sorted(group, key=lambda one: one.arrived_at):
        newest[said.thing, type(said)] = said
    return list(newest.values())


def _refusal(arrival: Arrival, reason: str) -> ResponseRecord:
    return ResponseRecord(
        thing=arrival.thing,
        state="refused",
        arrived_at=arrival.arrived_at,
        inspected_at=time.time(),
        version_id=arrival.version_id,
        bytes=arrival.size or None,
        reason=reason[:MAX_REASON],  # it may quote a name of any length that a device made up
    )


def _early(said: Arrival | Word, life: str) -> ResponseRecord:
    """What is kept of what waits for a round: which it is."""
    return ResponseRecord(
        thing=said.thing,
        state="early",
        life=life,
        arrived_at=said.arrived_at,
        inspected_at=said.arrived_at,
        key=said.key if isinstance(said, Arrival) else None,
        version_id=said.version_id if isinstance(said, Arrival) else None,
    )


def _is_newer(one: ResponseRecord, other: ResponseRecord) -> bool:
    """Whether one of two early responses, if they are of one client and one kind, is the newer one."""
    if (one.thing, one.key) != (other.thing, other.key):
        return False
    return (one.arrived_at, one.version_id or "") > (other.arrived_at, other.version_id or "")


def _failure(word: Word) -> ResponseRecord:
    return ResponseRecord(
        thing=word.outcome.thing,
        state=word.outcome.phase,
        arrived_at=word.arrived_at,
        inspected_at=word.arrived_at,
        reason=word.outcome.reason,
    )
