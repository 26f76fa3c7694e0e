"""What becomes of responses that don't count now: they are recorded with their reasons, or wait for the next round."""

import time
from collections import defaultdict
from collections.abc import Sequence

from cloud.averager.responses.messages import ArrivedUpdate, Response
from cloud.averager.responses.refusals import record_refused
from cloud.averager.responses.storage_accounting import Storage
from cloud.averager.responses.verdicts import Judged, refused
from cloud.averager.round.loop import RoundLoop
from cloud.services import Services
from cloud.state.records import LATE, ResponseRecord, RoundRecord

_MIN_WAIT_S = 1.0
"""The first delay of a response that came between two rounds. It about doubles each time."""

MAX_WAIT_S = 14 * 86_400
"""If no round has opened after this, as the federation is paused, what waits for one is given up."""


class UncountedResponses:
    """Where responses go that don't count now."""

    def __init__(self, services: Services, rounds: RoundLoop, storage: Storage) -> None:
        self._services = services
        self._rounds = rounds
        self._storage = storage

    def set_aside(self, judged: Sequence[Judged], assigned: RoundRecord, latest: RoundRecord) -> None:
        """Record what does not count: updates that failed their inspection in the round that waited for them, others in
        that of their assignment. Have what is early come again."""
        aside = [one for one in judged if one.verdict == "early" or (one.record and one.record.state == "refused")]
        if not aside:
            return
        on_record = self._on_record({one.thing for one in aside}, assigned, latest)
        responded = {known.thing for known in on_record if known.state not in ("refused", "early")}
        if any(one.verdict == "early" and one.response.put_off and one.thing in responded for one in aside):
            self._rounds.check(latest)  # this is a redelivery: what the first delivery led to may have been cut off
        now = time.time()
        settled = [_settled(one, responded, assigned.settings.max_staleness, now) for one in aside]
        for round_number, news in _news(settled, on_record, assigned, latest).items():
            records = [one.record for one in news if one.record is not None]
            record_refused(self._services, self._storage, assigned.federation, assigned.life, round_number, records)
            self._storage.refused_updates += sum(one.verdict != "late" for one in news)
        # At last: had something failed after it, each would come twice.
        waiting = [known for known in on_record if known.state == "early"]
        self._put_off([one.response for one in settled if one.verdict == "early"], waiting, assigned)

    def _on_record(self, things: set[str], assigned: RoundRecord, latest: RoundRecord) -> list[ResponseRecord]:
        """What is on record of clients, in this life, since the round of their assignment."""
        rounds = range(assigned.round, min(latest.round, assigned.round + assigned.settings.max_staleness) + 1)
        found = self._services.rounds.responses_of(assigned.federation, rounds, things)
        return [known for known in found if known.life == assigned.life]

    def _put_off(self, early: Sequence[Response], waiting: Sequence[ResponseRecord], assigned: RoundRecord) -> None:
        """Send early responses to the queue again, until the next round has opened and decides. Only the newest of each
        client waits: it may send as many as it likes."""
        records = {one: _waiting(one, assigned.life) for one in early}
        coming = {one: new for one, new in records.items() if not any(_is_newer(known, new) for known in waiting)}
        if not coming:
            return
        next_at, now = self._services.federations.get(assigned.federation).next_at, time.time()
        replaced = {known.key for known in waiting}
        self._storage.junk_bytes += sum(
            one.size for one in coming if isinstance(one, ArrivedUpdate) and one.key in replaced
        )
        new_records = [new for new in coming.values() if new not in waiting]
        self._services.rounds.put_off(assigned.federation, assigned.round, new_records)
        for one in coming:
            wait_s = max(_MIN_WAIT_S, now - one.arrived_at)
            self._services.notices.put_off(one.body, max(next_at, now + wait_s), now)


def _settled(one: Judged, responded: set[str], max_staleness: int, now: float) -> Judged:
    """An early response that no round will want is late: its client has responded already, the federation is not
    buffered, or it has waited for too long."""
    if one.verdict != "early":
        return one
    if not max_staleness or one.thing in responded:
        return refused(one.response, "late", f"{LATE}the round is no longer open")
    if now - one.response.arrived_at > MAX_WAIT_S:
        return refused(one.response, "late", f"too old: no round has opened for {MAX_WAIT_S // 86_400} days")
    return one


def _news(
    settled: Sequence[Judged], on_record: Sequence[ResponseRecord], assigned: RoundRecord, latest: RoundRecord
) -> dict[int, list[Judged]]:
    """The updates that do not count and are not on record yet, by the round that records them."""
    known = {(record.thing, record.version_id) for record in on_record if record.state != "early"}
    news: dict[int, list[Judged]] = defaultdict(list)
    for one in settled:
        if one.record is not None and (one.thing, one.record.version_id) not in known:
            news[latest.round if one.verdict == "refused" else assigned.round].append(one)
    return news


def _waiting(response: Response, life: str) -> ResponseRecord:
    """What is kept of what waits for a round: which it is."""
    return ResponseRecord(
        thing=response.thing,
        state="early",
        life=life,
        arrived_at=response.arrived_at,
        inspected_at=response.arrived_at,
        key=response.key if isinstance(response, ArrivedUpdate) else None,
        version_id=response.version_id if isinstance(response, ArrivedUpdate) else None,
    )


def _is_newer(one: ResponseRecord, other: ResponseRecord) -> bool:
    """Whether one of two early responses, if they are of one client and one kind, is the newer one."""
    if (one.thing, one.key) != (other.thing, other.key):
        return False
    return (one.arrived_at, one.version_id or "") > (other.arrived_at, other.version_id or "")
