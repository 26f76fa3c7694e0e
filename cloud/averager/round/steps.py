"""Keeps a round alive: takes the steps of its life, makes each lasting, and does what it asks for."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from cloud.averager.round.closing import follow_up, next_round_at, notice_of, pooled_metrics, vanished
from cloud.averager.round.histories import histories_of
from cloud.averager.work.files import read_back
from cloud.averager.work.inputs import Inputs, fetch_head, gather
from cloud.averager.work.jobs import Averager
from cloud.averager.work.sharding import INVOCATION_S, TooMuchWorkError, sharding_of
from cloud.averaging.new_model import NotFiniteModelError
from cloud.custom_policies import InvalidPolicyError, call
from cloud.services import Services
from cloud.state.completion import completion_of
from cloud.state.lifecycle import (
    Aborted,
    Averaged,
    Checked,
    Counted,
    Event,
    Expelled,
    JobDone,
    Lease,
    LetGo,
    Satisfied,
    Sharded,
    lease_s,
    needed,
    next_check,
    step,
)
from cloud.state.models import MissingUploadError, OtherModelError
from cloud.state.records import EXPELLED, CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import ROOM_AT_END, Answers, KnownResponsesError, StaleRoundError
from cloud.state.views import round_view
from protocol.messages import AverageShard, CheckRound

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_log = logging.getLogger(__name__)

_MAX_REASON = 1000
_ANSWERS = ("accepted", "failed", "declined")
_HOPELESS = (InvalidPolicyError, NotFiniteModelError, OtherModelError, TooMuchWorkError)
"""Errors that another try would only repeat."""


class Keeper:
    """What one invocation does with rounds. `owner` names it in leases, `remaining_s` tells how long it may run; with
    `comes_again` some of its messages have been delivered before. `aborted_rounds` counts those that it has ended
    without a model."""

    def __init__(self, services: Services, owner: str, remaining_s: Callable[[], float], *, comes_again: bool) -> None:
        self._services = services
        self._owner = owner
        self._remaining_s = remaining_s
        self._comes_again = comes_again
        self.aborted_rounds = 0

    def count(self, record: RoundRecord, responses: Mapping[str, ResponseRecord]) -> list[str]:
        """Count responses to an open round, each client once; and go on with what that leads to. Returns the clients
        whose responses came too late, if only since they were expelled meanwhile; those that are on record already are
        not counted again, and not returned."""
        pending = dict(responses)
        recovered: set[str] = set()
        expelled: set[str] = set()
        while record.status == "open":
            expelled |= pending.keys() & set(record.expelled)
            pending = {thing: response for thing, response in pending.items() if thing not in expelled}
            if not pending:
                break
            accepted = sum(response.state == "accepted" for response in pending.values())
            counted = Counted(
                accepted=accepted, failed=len(pending) - accepted, recovered=len(recovered.intersection(pending))
            )
            try:
                self._take(record, counted, pending, recovered)
            except StaleRoundError as stale:
                record = stale.current
            except KnownResponsesError as known:
                for thing, state in known.states.items():
                    if state in ("failed", "declined") and pending[thing].state == "accepted":
                        recovered.add(thing)
                    else:
                        del pending[thing]
            else:
                return sorted(expelled)
        self.check(record)  # if they come again, what they led to may have been cut off
        return sorted({*pending, *expelled})

    def expel(self, record: RoundRecord, thing: str) -> None:
        """Let nothing of a thing count in an open round, take its assignment away if it has one, and go on with what
        that leads to: of its clients one less will answer."""
        is_client = any(member.thing == thing for member in record.cohort)
        while True:
            responses = self._services.rounds.responses_of(record.federation, [record.round], [thing])
            answer = next((r.state for r in responses if r.life == record.life and r.state in _ANSWERS), None)
            new = {}
            if is_client:
                now = time.time()
                new[thing] = ResponseRecord(
                    thing=thing, state="failed", arrived_at=now, inspected_at=now, reason=EXPELLED
                )
            try:
                after = self._take(record, Expelled(thing, answer), new, {thing} if answer else set())
            except (KnownResponsesError, StaleRoundError):
                record = self._services.rounds.of(record.federation, record.life, record.round)
            else:
                break
        if after is record:
            self.check(record)  # if it comes again, what it led to may have been cut off
        if is_client:
            self._services.notices.withdraw(record.federation, record.life, [thing], record.round)

    def check(self, record: RoundRecord) -> RoundRecord:
        """Look at a round: go on with what is due, or was cut off. Returns it as it then is.

        Messages that come for the first time have not ended a round that has ended. Those that did come again until all
        is done that follows: it is theirs.
        """
        if record.status not in ("closed", "aborted"):
            return self.advance(record, Checked())
        if self._comes_again:
            federation = self._services.federations.get(record.federation)
            if (federation.life, federation.round) == (record.life, record.round):
                follow_up(self._services, record, self._answers(record))
        return record

    def look(self, record: RoundRecord) -> None:
        """As `check`, for a message that asked for it. While the round goes on, another such message takes its place:
        so there always is one, whatever became of the invocation that changed the round's deadline or took a lease."""
        self._look_again(self.check(record))

    def advance(self, record: RoundRecord, event: Event, answers: Answers | None = None) -> RoundRecord:
        """Take a step, from whatever state the round is in by now, and go on with what it leads to. `answers` saves
        reading them again."""
        while True:
            try:
                return self._take(record, event, {}, set(), answers)
            except StaleRoundError as stale:
                record = stale.current

    def _take(
        self,
        record: RoundRecord,
        event: Event,
        new: Mapping[str, ResponseRecord],
        recovered: set[str],
        answers: Answers | None = None,
    ) -> RoundRecord:
        now = time.time()
        after = step(record, event, now, Lease(self._owner, now + self._lease_s(record, event)))
        if after is record:
            return record
        ahead = None
        if after.status == "averaging" and answers is None and after.work is None:  # both take as long as the write
            ahead = self._services.parallel.submit(self._answers, record), fetch_head(self._services, record)
        also: list[TransactWriteItemTypeDef] = []
        if after.status in ("closed", "aborted"):
            answers = (answers or self._answers(record)).including(new.values())
            room = ROOM_AT_END - len(new)
            if after.status == "aborted":
                self._remember(after, after.cohort[room:], answers)
                after = msgspec.structs.replace(after, vanished=vanished(after, answers))
            also = self._services.clients.history_writes(
                record.federation, histories_of(after.cohort[:room], after, answers)
            )
            after = msgspec.structs.replace(after, next_at=next_round_at(self._services, after, answers))
        last = record.round >= record.settings.rounds
        after = self._services.rounds.write(record, after, list(new.values()), recovered, also, last=last)
        self.aborted_rounds += after.status == "aborted"
        if ahead is None:
            return self._react(record, after, answers)
        answers = ahead[0].result().including(new.values())
        return self._react(record, after, answers, ahead[1])

    def _react(
        self,
        before: RoundRecord,
        after: RoundRecord,
        answers: Answers | None,
        fetching: "Future[bytes] | None" = None,
    ) -> RoundRecord:
        """What a step that is written asks for."""
        if after.status == "averaging":
            mine = after.lease_owner == self._owner and after.lease_until
            return self._average(after, answers, fetching) if mine and _phase(before) != _phase(after) else after
        if after.status != "open":
            follow_up(self._services, after, answers or self._answers(after))
            return after
        if after.extended and not before.extended:
            _log.warning(
                "federation=%s round=%d extended to %.0f: accepted=%d quorum=%d",
                after.federation,
                after.round,
                after.deadline,
                after.accepted,
                after.quorum,
            )
        elif self._may_be_satisfied(before, after) and self._is_satisfied(after):
            return self.advance(after, Satisfied())
        return after

    def _average(self, record: RoundRecord, answers: Answers | None, fetching: "Future[bytes] | None") -> RoundRecord:
        """Go on with averaging, under a lease that was just taken."""
        looking_again = self._services.parallel.submit(self._look_again, record)
        try:
            inputs = gather(self._services, record, answers, fetching)
            event = self._work(record, inputs)
            looking_again.result()
        except _HOPELESS as error:
            return self._give_up(record, error)
        except Exception as error:
            if isinstance(error, MissingUploadError) and (current := self._gone_on(record)):
                return current
            self.advance(record, LetGo(self._owner, f"{type(error).__name__}: {error}"[:_MAX_REASON]))
            raise
        return record if event is None else self.advance(record, event, inputs.answers)

    def _work(self, record: RoundRecord, inputs: Inputs) -> Sharded | Averaged | None:
        """What is next: to shard, to hand out jobs, to do all alone, or to complete what the jobs have written."""
        services, averager = self._services, Averager(self._services, inputs)
        work = record.work
        if work is not None and work.present is not None:
            # What one invocation averages is over before anyone has read that it is averaged: that is not told.
            telling = services.parallel.submit(services.notices.publish, notice_of(record))
            jobs = [
                AverageShard(
                    federation=record.federation, life=record.life, round=record.round, stage=work.stage, job=job
                )
                for job in work.open_jobs
            ]
            services.notices.hand_out(jobs)
            telling.result()
            return None
        if work is None:
            sharding = sharding_of(
                record.settings.averaging, len(inputs.grid.parts), inputs.layout.data_bytes, len(inputs.sources)
            )
            if sharding.work is not None:
                uploads = averager.begin_uploads()
                return Sharded(self._owner, msgspec.structs.replace(sharding.work, uploads=uploads))
        # What has no room in the transaction that ends the round.
        remembering = services.parallel.submit(self._remember, record, record.cohort[ROOM_AT_END:], inputs.answers)
        if work is None:
            model = averager.do_all()
        else:
            averager.complete_uploads(work.uploads)
            model = read_back(services, record, inputs.grid)
        averaged_at = time.time()
        remembering.result()
        reports = [response.report for response in inputs.answers.accepted if response.report is not None]
        metrics, not_finite = pooled_metrics(record.settings.averaging, reports)
        return Averaged(
            owner=self._owner,
            model=model,
            metrics=metrics,
            not_finite=not_finite,
            warnings=averager.warnings,
            averaged_at=averaged_at,
            vanished=vanished(record, inputs.answers),
        )

    def do_job(self, message: AverageShard) -> None:
        """Do a job of a round that several invocations average, unless it is done already."""
        record = self._services.rounds.of(message.federation, message.life, message.round)
        work = record.work
        if record.status != "averaging" or work is None or work.stage != message.stage or message.job in work.done:
            self.check(record)  # if it comes again, what it led to may have been cut off
            return
        try:
            averager = Averager(self._services, gather(self._services, record))
            averager.do_job(work, message.job)
        except _HOPELESS as error:
            self._give_up(record, error)
        except MissingUploadError:
            if self._gone_on(record) is None:
                raise
        else:
            self.advance(record, JobDone(message.stage, message.job, averager.warnings))

    def _gone_on(self, record: RoundRecord) -> RoundRecord | None:
        """The round as it is now, if it has gone on meanwhile without this invocation."""
        current = self._services.rounds.get(record.federation, record.round)
        if current.status == "averaging" and _phase(current) == _phase(record):
            return None
        _log.info("federation=%s round=%d went on without this invocation", record.federation, record.round)
        return current

    def _give_up(self, record: RoundRecord, error: Exception) -> RoundRecord:
        _log.error("federation=%s round=%d averaging failed", record.federation, record.round, exc_info=error)
        return self.advance(record, Aborted(f"averaging failed: {error}"[:_MAX_REASON]))

    def _lease_s(self, record: RoundRecord, event: Event) -> float:
        updates_bytes = float(len(record.cohort) * record.base.bytes)
        work = event.work if isinstance(event, Sharded) else record.work
        if work is None or work.present is None:
            return lease_s(updates_bytes, self._remaining_s())
        return lease_s(updates_bytes / work.shards / work.groups, INVOCATION_S)

    def _look_again(self, record: RoundRecord) -> None:
        """Have the round looked at when its deadline or lease ends, should nobody have ended it by then."""
        at = next_check(record)
        if at is not None:
            check = CheckRound(federation=record.federation, life=record.life, round=record.round, at=at)
            self._services.notices.ask_for_check(check, time.time())

    def _remember(self, record: RoundRecord, members: Sequence[CohortMember], answers: Answers) -> None:
        histories = histories_of(members, record, answers)
        self._services.clients.record_histories(record.federation, histories)

    def _answers(self, record: RoundRecord) -> Answers:
        return self._services.rounds.answers(record.federation, record.round)

    @staticmethod
    def _may_be_satisfied(before: RoundRecord, after: RoundRecord) -> bool:
        is_news = after.accepted > before.accepted and after.accepted >= needed(after)
        return is_news and not completion_of(after.settings.completion).ends_at_target

    def _is_satisfied(self, record: RoundRecord) -> bool:
        rule = self._services.policy(record.settings, "is_complete")
        answers = self._answers(record)
        try:
            satisfied: bool = call(rule, bool, round_view(record, answers.accepted, time.time()))
        except InvalidPolicyError:
            _log.exception("federation=%s round=%d is_complete failed", record.federation, record.round)
            return False
        return satisfied


def _phase(record: RoundRecord) -> tuple[int, int | None]:
    """What a lease is for: it changes whenever one is taken."""
    return record.attempts, None if record.work is None else record.work.stage
