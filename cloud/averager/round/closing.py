"""From a round that has a new model, or none, to the next one."""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from cloud.averager.responses.schemas import Schemas
from cloud.averager.round.client_histories import histories_of
from cloud.averager.round.conclusions import concluded, reason_to_stop
from cloud.averager.round.round_end import next_round_at, vanished
from cloud.averager.work.file_names import key_of
from cloud.averaging.new_model import FILES
from cloud.log_lines import about
from cloud.pricing.round_price import dollars_of
from cloud.services import Services
from cloud.state.carry_over import given_up
from cloud.state.models import MissingObjectError
from cloud.state.records import CohortMember, RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import MAX_MESSAGE_BYTES, OpenRound, RoundCounts, RoundNotice, encode

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_log = logging.getLogger(__name__)


def follow_up(services: Services, record: RoundRecord, responses: Responses) -> None:
    """What comes after a round has ended: the state is published, assignments that nobody needs any more are
    withdrawn, and so are uploads of model files that some invocation began and did not complete; then the next round is
    asked for. Doing it again is harmless.

    The next round comes last: once it has opened, nobody looks back at what this one has left undone.
    """
    leftover = [member.thing for member in given_up(record, responses)]
    publishing = services.parallel.submit(services.notices.publish, notice_of(record))
    if record.base.bytes > services.part_bytes:  # smaller files are written at once
        keys = [key_of(file, record, record.round) for file in FILES]
        list(services.parallel.map(services.models.give_up, keys))
    services.notices.withdraw(record.federation, record.life, leftover, record.round)
    _ask_for_next(services, record)
    publishing.result()


def ending(
    services: Services, schemas: Schemas, record: RoundRecord, responses: Responses, room: int
) -> "tuple[RoundRecord, list[TransactWriteItemTypeDef]]":
    """The final record of a round, and at most `room` writes of its clients' histories for the same transaction. The
    other histories of an aborted round are written when this returns."""
    if record.status == "aborted":
        remember(services, record, record.cohort[room:], responses)
        record = msgspec.structs.replace(record, vanished=vanished(record, responses))
    record = concluded(record, _cost_usd(services, schemas, record))
    if record.stopped:
        record = msgspec.structs.replace(record, stopped=_reason_to_stop_now(services, record))
    histories = histories_of(record.cohort[:room], record, responses)
    writes = services.clients.history_writes(record.federation, histories)
    next_round_delay = services.policy(record.settings, "next_round_delay")
    return msgspec.structs.replace(record, next_at=next_round_at(record, responses, next_round_delay)), writes


def _cost_usd(services: Services, schemas: Schemas, record: RoundRecord) -> float | None:
    try:
        header = schemas.header(record)
    except MissingObjectError:  # someone has deleted the models
        return None
    return dollars_of(record, header, services.region)


def _reason_to_stop_now(services: Services, record: RoundRecord) -> str:
    """By the stop rule as it is now: an operator may have changed it while the round went on."""
    present = services.federations.get(record.federation)
    if present.life != record.life:
        return record.stopped
    settings = msgspec.structs.replace(record.settings, stop=present.settings.stop)
    return reason_to_stop(msgspec.structs.replace(record, settings=settings))


def remember(services: Services, record: RoundRecord, members: Sequence[CohortMember], responses: Responses) -> None:
    """Write the histories of some of a round's clients."""
    services.clients.record_histories(record.federation, histories_of(members, record, responses))


def notice_of(record: RoundRecord) -> RoundNotice:
    """A round's state as it is published: without the last of its metrics, if it would be too long with them."""
    notice = RoundNotice(
        federation=record.federation,
        life=record.life,
        round=record.round,
        state=record.status,
        model=record.model,
        counts=RoundCounts(
            cohort=len(record.cohort), accepted=record.accepted, failed=record.failed, refused=record.refused
        ),
        metrics=dict(record.metrics or {}),
        not_finite=dict(record.not_finite),
        warnings=list(record.warnings),
        reason=record.reason,
        at=time.time(),
    )
    while len(encode(notice)) > MAX_MESSAGE_BYTES and (least := notice.metrics or notice.not_finite or notice.warnings):
        least.pop() if isinstance(least, list) else least.popitem()
    return notice


def _ask_for_next(services: Services, record: RoundRecord) -> None:
    if record.stopped:
        _log.info("is the last one: %s", record.stopped, extra=about(record.federation, record.round))
        return
    if record.round < record.settings.rounds or _has_more_rounds(services, record):
        request = OpenRound(
            federation=record.federation,
            life=record.life,
            round=record.round + 1,
            # Who waits for clients to be ready looks at once whether they are.
            not_before=0.0 if record.settings.pacing.ready is not None else record.next_at or 0.0,
        )
        services.notices.ask_for_round(request, time.time())


def _has_more_rounds(services: Services, record: RoundRecord) -> bool:
    """Whether rounds have been added since the last one opened."""
    federation = services.federations.get(record.federation)
    return federation.life == record.life and record.round == federation.round < federation.settings.rounds
