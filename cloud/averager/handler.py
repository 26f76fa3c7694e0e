"""The averager's entry point. It is woken by messages of

the updates queue   updates that arrived in S3, and clients that say that none will come
the control queue   times to look at a round, and an operator who ends one or expels a client: nothing that devices
                    cause is in their way
the shards queue    jobs of a round that is too large for one invocation

The responses of one batch that belong to one round are inspected together and counted in one transaction; what that
leads to, this invocation does.
"""

import functools
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cloud import metrics, services
from cloud.averager.responses.messages import Arrival, Junk, Word, parse
from cloud.averager.responses.receiving import Responder
from cloud.averager.responses.schemas import Schemas
from cloud.averager.responses.storage import Storage
from cloud.averager.round.loop import RoundLoop
from cloud.services import Services
from cloud.state.federations import UnknownFederationError
from cloud.state.rounds import LostFederationError, UnknownRoundError
from protocol.messages import AbortRound, AverageShard, CheckRound, ExpelClient

_log = logging.getLogger(__name__)

_GONE = (LostFederationError, UnknownFederationError, UnknownRoundError)
"""What a message speaks of was removed since, or was of an earlier life of the federation: it will not come again."""


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by Lambda with a batch of messages. Returns those to deliver again."""
    logging.getLogger().setLevel(logging.INFO)
    outside = services.from_environment()
    with metrics.measured("averager", outside.calls, outside.waited_s, outside.left_out) as properties:
        failures = _Invocation(outside, context, properties, event["Records"]).run()
        properties |= {"messages": len(event["Records"]), "failed_messages": len(failures)}
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failures)]}


@functools.cache
def _schemas_of(outside: Services) -> Schemas:
    return Schemas(outside.models)


class _Invocation:
    """One batch of messages."""

    def __init__(
        self, outside: Services, context: Any, properties: dict[str, Any], records: Sequence[dict[str, Any]]
    ) -> None:
        self._services = outside
        self._properties = properties
        self._records = records
        self._rounds = RoundLoop(
            outside,
            str(context.aws_request_id),
            lambda: context.get_remaining_time_in_millis() / 1000,
            comes_again=any(record["attributes"]["ApproximateReceiveCount"] != "1" for record in records),
        )
        self._storage = Storage(outside.models, outside.parallel)
        self._responder = Responder(outside, _schemas_of(outside), self._rounds, self._storage)

    def run(self) -> set[str]:
        """Work through the messages; returns the ids of those that failed and have to come again."""
        groups: dict[tuple[str, str, int], list[Arrival | Word]] = defaultdict(list)
        failures: set[str] = set()
        for record in self._records:
            try:
                for said in parse(record["messageId"], record["body"], time.time()):
                    match said:
                        case CheckRound():
                            self._check(said)
                        case AbortRound():
                            self._abort(said)
                        case ExpelClient():
                            self._expel(said)
                        case AverageShard():
                            self._properties |= {"federation": said.federation, "round": said.round, "job": said.job}
                            self._rounds.do_job(said)
                        case Junk():
                            self._storage.discard(said)
                        case Arrival(name=name):
                            groups[name.federation, name.life, name.round].append(said)
                        case Word(federation=federation, outcome=outcome):
                            groups[federation, outcome.life, outcome.round].append(said)
            except _GONE as error:
                _log.warning("left alone: %s", error)
            except Exception:
                # Whatever it is, only this message comes again, and at last goes to the dead-letter queue.
                _log.exception("message %s failed", record["messageId"])
                failures.add(record["messageId"])
        self._record_strays(groups, failures)
        for (federation, life, round_number), group in groups.items():
            self._properties |= {"federation": federation, "round": round_number, "responses": len(group)}
            try:
                self._responder.respond(federation, life, round_number, group)
            except _GONE as error:
                _log.warning("left alone: %s", error)
            except Exception:
                _log.exception("federation=%s round=%d responses failed", federation, round_number)
                failures |= {said.message_id for said in group}
        failures |= self._storage.delete_discarded()
        self._properties |= {
            "stored_bytes": self._storage.stored_bytes,
            "junk_bytes": self._storage.junk_bytes,
            "refused_updates": self._storage.refused_updates,
            "aborted_rounds": self._rounds.aborted_rounds,
        }
        return failures | self._responder.failed

    def _record_strays(self, groups: dict[tuple[str, str, int], list[Arrival | Word]], failures: set[str]) -> None:
        """Take out, and record together, what is said of rounds that never were: a device may make up as many as it
        likes. What one delivery says of one round alone is left to whoever looks for the round."""
        if len(groups) < 2:
            return
        strays: dict[tuple[str, str], list[Arrival | Word]] = defaultdict(list)
        try:
            unknown = groups.keys() - self._services.rounds.known(groups)
        except Exception:
            _log.exception("the rounds of a delivery could not be looked for")
            failures |= {each.message_id for group in groups.values() for each in group}
            groups.clear()
            return
        for federation, life, round_number in unknown:
            strays[federation, life] += groups.pop((federation, life, round_number))
        for (federation, life), said in strays.items():
            try:
                self._responder.record_strays(federation, life, said)
            except _GONE as error:
                _log.warning("left alone: %s", error)
            except Exception:
                _log.exception("federation=%s strays failed", federation)
                failures |= {each.message_id for each in said}

    def _check(self, message: CheckRound) -> None:
        self._properties |= {"federation": message.federation, "round": message.round}
        now = time.time()
        if message.at > now:
            self._services.notices.ask_for_check(message, now)
        else:
            self._rounds.look(self._services.rounds.of(message.federation, message.life, message.round))

    def _abort(self, message: AbortRound) -> None:
        self._properties |= {"federation": message.federation, "round": message.round}
        self._rounds.abort(self._services.rounds.of(message.federation, message.life, message.round), message.reason)

    def _expel(self, message: ExpelClient) -> None:
        self._properties |= {"federation": message.federation, "round": message.round}
        record = self._services.rounds.of(message.federation, message.life, message.round)
        self._rounds.expel(record, message.thing)
