"""The averager's entry point. It is woken by messages of

the updates queue   updates that arrived in S3, and clients that say that none will come
the control queue   times to look at a round, and an operator who ends one or expels a client: nothing that devices
                    cause is in their way
the shards queue    jobs of a round that is too large for one invocation

The responses of one batch that belong to one round are inspected together and counted in one transaction; what that
leads to, this invocation does.
"""

import functools
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cloud import log_lines, metrics, services
from cloud.averager.responses.messages import (
    ArrivedOutcome,
    ArrivedUpdate,
    AssignedRound,
    AveragerMessage,
    Junk,
    Response,
    parse,
)
from cloud.averager.responses.receiving import Receiver
from cloud.averager.responses.schemas import Schemas
from cloud.averager.responses.storage_accounting import Storage
from cloud.averager.round.loop import RoundLoop
from cloud.services import Services
from cloud.state.federations import UnknownFederationError
from cloud.state.records import RoundRecord
from cloud.state.rounds import LostFederationError, UnknownRoundError
from protocol.messages import AbortRound, AverageShard, CheckRound, ExpelClient

_log = logging.getLogger(__name__)

_GONE = (LostFederationError, UnknownFederationError, UnknownRoundError)
"""What a message speaks of was removed since, or was of an earlier life of the federation: it will not come again."""


def handle(event: dict[str, Any], context: Any, outside: Services | None = None) -> dict[str, Any]:
    """Called by Lambda with a batch of messages. Returns those to deliver again. `outside` takes the place of what the
    environment names, logs included."""
    if outside is None:
        log_lines.write(context.aws_request_id)
        outside = services.from_environment()
    counted = outside.calls, outside.waited_s, outside.left_out
    with metrics.measured(outside.namespace, "averager", *counted) as properties:
        failed = _Invocation(outside, context, properties, event["Records"]).run()
        properties |= {"messages": len(event["Records"]), "failed_messages": len(failed)}
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failed)]}


@functools.cache
def _schemas_of(outside: Services) -> Schemas:
    return Schemas(outside.models, outside.federations)


class _Invocation:
    """One batch of messages."""

    def __init__(
        self, outside: Services, context: Any, properties: dict[str, Any], records: Sequence[dict[str, Any]]
    ) -> None:
        self._services = outside
        self._properties = properties
        self._records = records
        schemas = _schemas_of(outside)
        self._loop = RoundLoop(
            outside,
            schemas,
            str(context.aws_request_id),
            lambda: context.get_remaining_time_in_millis() / 1000,
            comes_again=any(record["attributes"]["ApproximateReceiveCount"] != "1" for record in records),
        )
        self._storage = Storage(outside.models, outside.parallel)
        self._receiver = Receiver(outside, schemas, self._loop, self._storage)
        self._responses: dict[AssignedRound, list[Response]] = defaultdict(list)
        self._failed: set[str] = set()

    def run(self) -> set[str]:
        """Work through the messages; returns the ids of those that failed and have to come again."""
        for record in self._records:
            with self._trying([record["messageId"]], "message"):
                for message in parse(record["messageId"], record["body"], time.time()):
                    self._take(message)
        groups = self._without_strays() if len(self._responses) > 1 else self._responses
        for assigned_in, responses in groups.items():
            self._tell_of(assigned_in.federation, assigned_in.round, responses=len(responses))
            with self._trying(_ids(responses), "receiving", assigned_in.federation, assigned_in.round):
                self._failed |= self._receiver.receive(assigned_in, responses)
        self._failed |= self._storage.delete_discarded()
        self._properties |= {
            "stored_bytes": self._storage.stored_bytes,
            "junk_bytes": self._storage.junk_bytes,
            "refused_updates": self._storage.refused_updates,
            "aborted_rounds": self._loop.aborted_rounds,
        }
        return self._failed

    def _take(self, message: AveragerMessage) -> None:
        """Do what a message asks for; but responses are gathered first."""
        match message:
            case ArrivedUpdate() | ArrivedOutcome():
                self._responses[message.assigned_in].append(message)
            case Junk():
                self._storage.discard(message)
            case CheckRound():
                self._check(message)
            case AbortRound():
                self._loop.abort(self._round_of(message), message.reason)
            case ExpelClient():
                self._loop.expel(self._round_of(message), message.thing)
            case AverageShard():
                self._tell_of(message.federation, message.round, job=message.job)
                self._loop.do_job(message)

    def _check(self, message: CheckRound) -> None:
        now = time.time()
        if message.at > now:
            self._tell_of(message.federation, message.round)
            self._services.notices.ask_for_check(message, now)
        else:
            self._loop.check_and_reschedule(self._round_of(message))

    def _round_of(self, message: CheckRound | AbortRound | ExpelClient) -> RoundRecord:
        self._tell_of(message.federation, message.round)
        return self._services.rounds.of(message.federation, message.life, message.round)

    def _without_strays(self) -> dict[AssignedRound, list[Response]]:
        """The responses to rounds that have been opened. All others are recorded together: a device may make up as many
        rounds as it likes. If a delivery is to one round alone, whoever looks for that round finds it missing."""
        known: set[tuple[str, str, int]] = set()
        strays: dict[tuple[str, str], list[Response]] = defaultdict(list)
        with self._trying(_ids(itertools.chain(*self._responses.values())), "looking for rounds"):
            known = self._services.rounds.known(self._responses)
            for assigned_in in self._responses.keys() - known:
                strays[assigned_in.federation, assigned_in.life] += self._responses[assigned_in]
        for (federation, life), responses in strays.items():
            with self._trying(_ids(responses), "recording strays", federation):
                self._receiver.strays.record(federation, life, responses)
        return {assigned_in: group for assigned_in, group in self._responses.items() if assigned_in in known}

    @contextmanager
    def _trying(
        self, message_ids: Collection[str], what: str, federation: str | None = None, round_number: int | None = None
    ) -> Iterator[None]:
        """Have messages come again if something fails."""
        subject = log_lines.about(federation, round_number)
        try:
            yield
        except _GONE as error:
            _log.warning("left alone: %s", error, extra=subject)
        except Exception:
            # Whatever it is, only these messages come again, and at last go to the dead-letter queue.
            _log.exception("%s failed: messages %s", what, ", ".join(sorted(message_ids)), extra=subject)
            self._failed.update(message_ids)

    def _tell_of(self, federation: str, round_number: int, **figures: int) -> None:
        self._properties |= {"federation": federation, "round": round_number, **figures}


def _ids(responses: Iterable[Response]) -> set[str]:
    return {response.message_id for response in responses}
