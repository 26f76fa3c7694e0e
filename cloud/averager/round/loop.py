"""The loop that carries a round on: take a step, write it, do what it asks for, take the next event.

`step` (cloud/state/lifecycle.py) decides, and is pure. The loop reads, writes and waits.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from cloud.averager.responses.schemas import Schemas
from cloud.averager.round.averaging_step import average
from cloud.averager.round.closing import ending, follow_up
from cloud.averager.round.counting import Counting, Expelling
from cloud.averager.round.end_line import tell_of_end
from cloud.averager.round.round_end import HOPELESS, MAX_REASON, evaluated, given_up_on, is_satisfied, may_be_satisfied
from cloud.averager.work.inputs import fetch_head, gather
from cloud.averager.work.jobs import Averager
from cloud.averager.work.sharding import INVOCATION_S, TooMuchWorkError, updates_read
from cloud.log_lines import about
from cloud.services import Services
from cloud.state.lifecycle import (
    Aborted,
    Checked,
    Event,
    JobDone,
    Lease,
    LetGo,
    Satisfied,
    Sharded,
    lease_s,
    next_check,
    step,
)
from cloud.state.models import MissingUploadError, OtherModelError
from cloud.state.records import ResponseRecord, ResponseState, RoundRecord
from cloud.state.rounds import ROOM_AT_END, KnownResponsesError, Responses, StaleRoundError
from protocol.messages import AverageShard, CheckRound

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_log = logging.getLogger(__name__)

_HOPELESS = (*HOPELESS, OtherModelError, TooMuchWorkError)
"""Errors that another try would only repeat."""


class _Turn(msgspec.Struct, frozen=True):
    """One iteration of the loop: the round as it is now, and the next event; None ends the loop.

    `writing` makes the event, if responses are written with it, until they are. `responses` are there if they have been
    read. `failure` is raised at the end.
    """

    record: RoundRecord
    event: Event | None
    writing: Counting | Expelling | None = None
    responses: Responses | None = None
    failure: Exception | None = None

    def at(self, record: RoundRecord) -> "_Turn":
        """The same, to happen to the round as it is now."""
        writing = self.writing and self.writing.at(record)
        return msgspec.structs.replace(
            self, record=record, event=self.event if writing is None else writing.event, writing=writing
        )

    def without(self, known: Mapping[str, ResponseState]) -> "_Turn":
        """The same, without the responses that are on record already."""
        writing = self.writing and self.writing.without(known)
        return msgspec.structs.replace(self, event=writing and writing.event, writing=writing)


class _Written(msgspec.Struct, frozen=True):
    """A step that was written, and what was read meanwhile: the responses to the round, the beginning of its base."""

    before: RoundRecord
    after: RoundRecord
    responses: Responses | None
    head: "Future[bytes] | None"


class RoundLoop:
    """What one invocation does with rounds. `owner` names it in leases, `remaining_s` tells how long it may run; with
    `comes_again` some of its messages have been delivered before. `aborted_rounds` counts those that it has ended
    without a model."""

    def __init__(
        self,
        services: Services,
        schemas: Schemas,
        owner: str,
        remaining_s: Callable[[], float],
        *,
        comes_again: bool,
    ) -> None:
        self._services = services
        self._schemas = schemas
        self._owner = owner
        self._remaining_s = remaining_s
        self._comes_again = comes_again
        self.aborted_rounds = 0

    def count(self, record: RoundRecord, responses: Mapping[str, ResponseRecord]) -> set[str]:
        """Count responses to an open round, each client once; and go on with what that leads to. Returns the clients
        whose responses came too late, if only since they were expelled meanwhile; those that are on record already are
        not counted again, and not returned."""
        counting = Counting(responses)
        end = self._run(_Turn(record, counting.event, counting))
        expelled = responses.keys() & set(end.record.expelled)
        if end.writing is None:
            return expelled
        self.check(end.record)  # if they come again, what they led to may have been cut off
        return expelled.union(end.writing.responses)

    def check(self, record: RoundRecord) -> RoundRecord:
        """Look at a round: go on with what is due, or was cut off. Returns it as it then is.

        If the round has ended, only a message that comes again repeats what follows: another one can't have ended it.
        """
        if not record.has_ended:
            return self._run(_Turn(record, Checked())).record
        if self._comes_again:
            federation = self._services.federations.get(record.federation)
            if (federation.life, federation.round) == (record.life, record.round):
                follow_up(self._services, record, self._responses_to(record))
        return record

    def check_and_reschedule(self, record: RoundRecord) -> None:
        """As `check`, and asks for the next check. So one is always pending while the round goes on, whatever became of
        the invocation that changed its deadline or took its lease."""
        self._schedule_check(self.check(record))

    def abort(self, record: RoundRecord, reason: str) -> None:
        """End a round without a model, unless it has ended."""
        end = self._run(_Turn(record, Aborted(reason)))
        if end.event is not None:
            self.check(end.record)  # if it comes again, what it led to may have been cut off

    def expel(self, record: RoundRecord, thing: str) -> None:
        """Count nothing of a thing in an open round, withdraw its assignment if it has one, and go on with what
        follows: the round has one client less to wait for."""
        is_client = any(member.thing == thing for member in record.cohort)
        expelling = Expelling(thing=thing, at_time=time.time(), is_client=is_client)
        end = self._run(_Turn(record, expelling.event, expelling))
        if end.writing is not None:
            self.check(end.record)  # if it comes again, what it led to may have been cut off
        if is_client:
            self._services.notices.withdraw(record.federation, record.life, [thing], record.round)

    def do_job(self, message: AverageShard) -> None:
        """Do a job of a round that several invocations average, unless it is done already."""
        record = self._services.rounds.of(message.federation, message.life, message.round)
        work = record.work
        if record.status != "averaging" or work is None or work.stage != message.stage or message.job in work.done:
            self.check(record)  # if it comes again, what it led to may have been cut off
            return
        event: Event
        try:
            averager = Averager(self._services, gather(self._services, record))
            averager.do_job(work, message.job)
            event = JobDone(message.stage, message.job, averager.warnings)
        except _HOPELESS as error:
            event = given_up_on(record, error)
        except MissingUploadError:
            if self._gone_on(record) is None:
                raise
            return
        self._run(_Turn(record, event))

    def _run(self, turn: _Turn) -> _Turn:
        """Take steps until nothing more happens. Returns where that ended: with the event if it changed nothing."""
        while turn.event is not None:
            before, now = turn.record, time.time()
            after = step(before, turn.event, now, Lease(self._owner, now + self._lease_s(before, turn.event)))
            if after is before:
                break
            try:
                written = self._write(turn, after)
            except StaleRoundError as stale:
                turn = turn.at(stale.current)
            except KnownResponsesError as known:
                turn = turn.without(known.states)
            else:
                turn = self._react(written)
        if turn.failure is not None:
            raise turn.failure
        return turn

    def _write(self, turn: _Turn, after: RoundRecord) -> _Written:
        """Make a step lasting, with the responses that belong to it. If it begins to average, all that is averaged is
        read at the same time: either takes as long as the other."""
        services, before, responses = self._services, turn.record, turn.responses
        new = list(turn.writing.responses.values()) if turn.writing else []
        reading = head = None
        if after.status == "averaging" and after.work is None and responses is None:
            reading = services.parallel.submit(self._responses_to, before)
            head = None if before.evaluates else fetch_head(services, before)
        histories: list[TransactWriteItemTypeDef] = []
        if after.has_ended:
            responses = (responses or self._responses_to(before)).including(new)
            after, histories = ending(services, self._schemas, after, responses, ROOM_AT_END - len(new))
        last = after.has_ended and (bool(after.stopped) or self._is_last(before))
        recovered = turn.writing.recovered if turn.writing else ()
        after = services.rounds.write(before, after, new, recovered, histories, last=last)
        for response in new:
            if response.state != "accepted":
                reason = " ".join((response.reason or "").split())
                _log.info(
                    "%s: %s",
                    response.state,
                    reason,
                    extra=about(after.federation, after.round, response.thing, outcome=response.state, reason=reason),
                )
        if responses is not None and after.has_ended:
            self.aborted_rounds += after.status == "aborted"
            tell_of_end(services.namespace, after, responses)
        return _Written(before, after, reading.result().including(new) if reading else responses, head)

    def _react(self, written: _Written) -> _Turn:
        """Do what a step that was written asks for. Returns what comes of it."""
        before, after = written.before, written.after
        if after.has_ended:
            follow_up(self._services, after, written.responses or self._responses_to(after))
        elif _phase(before) != _phase(after):
            return self._average(written)
        elif after.extended and not before.extended:
            _log.warning(
                "extended to %.0f: accepted=%d quorum=%d",
                after.deadline,
                after.accepted,
                after.quorum,
                extra=about(after.federation, after.round),
            )
        elif may_be_satisfied(before, after) and self._is_satisfied(after):
            return _Turn(after, Satisfied())
        return _Turn(after, None)

    def _average(self, written: _Written) -> _Turn:
        """Go on with averaging, under the lease that the step has taken."""
        record, responses = written.after, written.responses
        scheduling = self._services.parallel.submit(self._schedule_check, record)
        event: Event | None
        try:
            if record.evaluates:
                responses = responses or self._responses_to(record)
                event = evaluated(record, responses, self._owner, time.time())
            else:
                inputs = gather(self._services, record, responses, written.head)
                event, responses = average(self._services, inputs, self._owner), inputs.responses
            scheduling.result()
        except _HOPELESS as error:
            return _Turn(record, given_up_on(record, error))
        except Exception as error:
            if isinstance(error, MissingUploadError) and (current := self._gone_on(record)):
                return _Turn(current, None)
            reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
            _log.warning("is left to others: %s", reason, extra=about(record.federation, record.round))
            return _Turn(record, LetGo(self._owner, reason), failure=error)
        return _Turn(record, event, responses=responses)

    def _is_last(self, record: RoundRecord) -> bool:
        """Whether no round follows this one. It began as the last one; but rounds may have been added since."""
        if record.round < record.settings.rounds:
            return False
        federation = self._services.federations.get(record.federation)
        return federation.life != record.life or record.round >= federation.settings.rounds

    def _gone_on(self, record: RoundRecord) -> RoundRecord | None:
        """The round as it is now, if it has gone on meanwhile without this invocation."""
        current = self._services.rounds.get(record.federation, record.round)
        if current.status == "averaging" and _phase(current) == _phase(record):
            return None
        _log.info("went on without this invocation", extra=about(record.federation, record.round))
        return current

    def _lease_s(self, record: RoundRecord, event: Event) -> float:
        updates = updates_read(record.settings.averaging, len(record.cohort))
        updates_bytes = float(updates * record.base.bytes)
        work = event.work if isinstance(event, Sharded) else record.work
        if work is None or work.present is None:
            return lease_s(updates_bytes, self._remaining_s())
        return lease_s(updates_bytes / work.shards / work.groups, INVOCATION_S)

    def _schedule_check(self, record: RoundRecord) -> None:
        """Have the round looked at when its deadline or lease ends, should nobody have ended it by then."""
        at = next_check(record)
        if at is not None:
            check = CheckRound(federation=record.federation, life=record.life, round=record.round, at=at)
            self._services.notices.ask_for_check(check, time.time())

    def _responses_to(self, record: RoundRecord) -> Responses:
        return self._services.rounds.responses(record.federation, record.round)

    def _is_satisfied(self, record: RoundRecord) -> bool:
        is_complete = self._services.policy(record.settings, "is_complete")
        return is_satisfied(record, self._responses_to(record), is_complete, time.time())


def _phase(record: RoundRecord) -> tuple[int, int | None]:
    """What a lease is for: a step that changes it has taken one."""
    return record.attempts, None if record.work is None else record.work.stage
