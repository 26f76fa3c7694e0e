"""From a round that has all it needs to a new model, and from a round that has ended to the next one."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

import msgspec

from cloud.averager.averaging import apply, average, base_values, mean_metrics, new_model, read_update
from cloud.averager.history import write_histories
from cloud.averager.pacing import not_before
from cloud.policies import InvalidPolicyError, Update, round_view
from cloud.services import Services
from cloud.state.models import Fetched
from cloud.state.records import Carried, ResponseRecord, RoundRecord
from cloud.state.rounds import Answers
from protocol import names
from protocol.messages import ModelReference, OpenRound, RoundCounts, RoundNotice
from protocol.tensors import load

_log = logging.getLogger(__name__)

_PREFETCH_BYTES = 64 << 20
_PREFETCH_UPDATES = 128


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A new global model, written to S3. `metrics` are the clients' means; `vanished` the clients that the round waited
    for until its deadline in vain."""

    model: ModelReference
    metrics: dict[str, float]
    averaged_at: float
    vanished: tuple[str, ...]
    answers: Answers


class _Source(msgspec.Struct, frozen=True):
    """An accepted update, of this round or, `age` rounds late, of an earlier one."""

    round: int
    age: int
    response: ResponseRecord


def average_round(services: Services, record: RoundRecord) -> Result:
    """Average a round's updates and write the model; the same updates always give the same bytes.

    Raises:
        InvalidPolicyError: one's own average failed.
        NotFiniteModelError: the new model would have values that are not finite.
        MissingObjectError: an accepted update, or the base model, is gone.
    """
    telling = services.parallel.submit(services.notices.publish, notice_of(record))
    fetching_base = services.parallel.submit(services.models.get, record.base)
    answers = services.rounds.answers(record.federation, record.round)
    remembering = services.parallel.submit(write_histories, services, record, answers)
    sources = _sources(services, record, answers)
    header, arrays = load(fetching_base.result())
    base = base_values(header, arrays)
    updates = _updates(services, record, sources)
    change = average(updates, record.settings.averaging.rule, base, services.policy(record.settings, "average"))
    data = new_model(header, apply(header, base, change), record.round)
    averaged_at = time.time()
    model = services.models.put(names.model_key(record.federation, record.round), data)
    for other in (remembering, telling):
        other.result()
    return Result(
        model=model,
        metrics=mean_metrics(r.report for r in answers.accepted if r.report is not None),
        averaged_at=averaged_at,
        vanished=vanished(record, answers),
        answers=answers,
    )


def follow_up(services: Services, record: RoundRecord, answers: Answers) -> None:
    """What comes after a round has ended, all of it at once: the next round is asked for, the state is published, and
    assignments that nobody needs any more are withdrawn. Doing it again is harmless."""
    leftover = unanswered(record, answers)
    steps = [
        services.parallel.submit(_ask_for_next, services, record),
        services.parallel.submit(services.notices.publish, notice_of(record)),
    ]
    services.notices.withdraw(record.federation, leftover, record.round)
    for step in steps:
        step.result()
    _log.info(
        "federation=%s round=%d %s: accepted=%d failed=%d refused=%d unanswered=%d %s",
        record.federation,
        record.round,
        record.status,
        record.accepted,
        record.failed,
        record.refused,
        len(leftover),
        record.reason or "",
    )


def unanswered(record: RoundRecord, answers: Answers) -> list[str]:
    """The clients of the cohort of which nothing was heard."""
    answered = {response.thing for response in (*answers.accepted, *answers.failed)}
    return [member.thing for member in record.cohort if member.thing not in answered]


def vanished(record: RoundRecord, answers: Answers) -> tuple[str, ...]:
    """The clients that a round waited for until its deadline in vain."""
    ended_at = record.averaging_at or record.closed_at
    waited = ended_at is not None and ended_at >= record.deadline
    return tuple(unanswered(record, answers)) if waited else ()


def notice_of(record: RoundRecord) -> RoundNotice:
    """A round's state as it is published."""
    return RoundNotice(
        federation=record.federation,
        round=record.round,
        state=record.status,
        model=record.model,
        counts=RoundCounts(
            cohort=len(record.cohort), accepted=record.accepted, failed=record.failed, refused=record.refused
        ),
        metrics=record.metrics or {},
        reason=record.reason,
        at=time.time(),
    )


def _sources(services: Services, record: RoundRecord, answers: Answers) -> list[_Source]:
    """What is averaged, in the order of the things' names: a client's newer update takes the place of a carried one."""
    sources = {response.thing: _Source(record.round, 0, response) for response in answers.accepted}
    by_round: dict[int, list[Carried]] = {}
    for carried in record.carried:
        by_round.setdefault(carried.round, []).append(carried)
    for round_number, group in by_round.items():
        accepted = {r.thing: r for r in services.rounds.answers(record.federation, round_number).accepted}
        for carried in group:
            if carried.thing in accepted:
                source = _Source(round_number, carried.age, accepted[carried.thing])
                sources.setdefault(carried.thing, source)
    return [sources[thing] for thing in sorted(sources)]


def _updates(services: Services, record: RoundRecord, sources: Iterable[_Source]) -> Iterator[Update]:
    """The updates, each the version that was inspected; a few are fetched ahead."""
    remaining = iter(sources)
    window = max(1, min(_PREFETCH_UPDATES, _PREFETCH_BYTES // record.base.bytes))

    def submit(source: _Source) -> tuple[_Source, Future[Fetched]]:
        key = names.update_key(record.federation, source.round, source.response.thing)
        version_id = source.response.version_id
        return source, services.parallel.submit(services.models.fetch, key, version_id=version_id)

    ahead = deque(submit(source) for source in itertools.islice(remaining, window))
    while ahead:
        source, fetched = ahead.popleft()
        data = fetched.result().data
        ahead.extend(submit(following) for following in itertools.islice(remaining, 1))
        if source.response.report is not None:
            yield read_update(source.response.thing, data, source.response.report, source.age)


def next_round_at(services: Services, record: RoundRecord, answers: Answers) -> float:
    """The earliest time for the round after one that ends, as its pacing says; a rule that fails is logged, and does
    not hold the federation up."""
    ended_at = record.closed_at or time.time()
    try:
        return not_before(
            record.settings.pacing,
            round_view(record, answers.accepted, ended_at),
            record.opened_at,
            services.policy(record.settings, "next_round_delay"),
        )
    except InvalidPolicyError:
        _log.exception("federation=%s round=%d pacing failed; going on at once", record.federation, record.round)
        return 0.0


def _ask_for_next(services: Services, record: RoundRecord) -> None:
    if record.round < record.settings.rounds:
        request = OpenRound(federation=record.federation, round=record.round + 1, not_before=record.next_at or 0.0)
        services.notices.ask_for_round(request, time.time())
