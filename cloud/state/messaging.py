"""What the functions tell others: assignments to devices, round states to dashboards, wake-ups to each other."""

import logging
import math
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from cloud.log_lines import about
from protocol import names
from protocol.messages import (
    AbortRound,
    Assignment,
    AverageShard,
    CheckRound,
    ExpelClient,
    OpenRound,
    RoundNotice,
    encode,
)

if TYPE_CHECKING:
    from types_boto3_iot_data import IoTDataPlaneClient
    from types_boto3_sqs import SQSClient

_log = logging.getLogger(__name__)

_MAX_DELAY_S = 900
"""SQS delays a message by at most 15 minutes; longer waits are chained by whoever receives it."""

_NOT_TO_BE_TOLD = (
    "ResourceNotFoundException",
    "RequestEntityTooLargeException",
    "InvalidRequestException",
    "ConflictException",
)
"""What AWS IoT says when it is the thing, or what it has put into its shadow, that keeps an update out for good."""


class Notices(msgspec.Struct, frozen=True, eq=False):
    """Ways out of the functions. `parallel` runs the calls to many devices at once."""

    iot: "IoTDataPlaneClient"
    sqs: "SQSClient"
    rounds_queue: str
    control_queue: str
    updates_queue: str
    shards_queue: str
    parallel: Executor

    def assign(self, federation: str, things: Iterable[str], assignment: Assignment) -> dict[str, float]:
        """Write the assignment into each client's shadow; returns when, by thing. A thing that can't be told is logged
        and left out: it was deleted, say, or keeps its shadow so busy that AWS IoT takes no more.

        Raises:
            ClientError, BotoCoreError: nobody could be told, and at least two for a passing reason. With one alone, the
                thing itself may keep its shadow busy.
        """
        told, errors = self._update_shadows(federation, things, {"assignment": msgspec.to_builtins(assignment)})
        passing = [error for error in errors if not _is_for_good(error)]
        if not told and len(passing) > 1:
            raise passing[0]
        return told

    def withdraw(self, federation: str, life: str, things: Iterable[str], round_number: int) -> None:
        """Tell clients that their assignments of this life, of rounds up to this one, are not wanted any more. Who
        can't be told is logged: its update is refused when it comes."""
        self._update_shadows(federation, things, {"withdrawn": round_number, "withdrawn_life": life})

    def publish(self, notice: RoundNotice) -> None:
        """Publish a round's state, retained."""
        self.iot.publish(topic=names.round_topic(notice.federation), qos=1, retain=True, payload=encode(notice))

    def ask_for_round(self, request: OpenRound, now: float) -> None:
        """Wake the initiator to open a round, at `request.not_before` or after the longest delay that SQS has."""
        self._send(self.rounds_queue, encode(request), request.not_before - now)

    def ask_for_check(self, check: CheckRound, now: float) -> None:
        """Wake the averager to look at a round, at `check.at` or after the longest delay that SQS has."""
        self._send(self.control_queue, encode(check), check.at - now)

    def put_off(self, body: bytes, at: float, now: float) -> None:
        """Have the averager hear a message again, at a time or after the longest delay that SQS has."""
        self._send(self.updates_queue, body, at - now)

    def hand_out(self, jobs: Iterable[AverageShard]) -> None:
        """Have averagers do the jobs of a round."""
        list(self.parallel.map(lambda job: self._send(self.shards_queue, encode(job), 0.0), jobs))

    def ask_for_abort(self, abort: AbortRound) -> None:
        """Have the averager end a round."""
        self._send(self.control_queue, encode(abort), 0.0)

    def ask_for_expulsion(self, expulsion: ExpelClient) -> None:
        """Have the averager count nothing of a thing in a round."""
        self._send(self.control_queue, encode(expulsion), 0.0)

    def _send(self, queue: str, body: bytes, delay_s: float) -> None:
        self.sqs.send_message(
            QueueUrl=queue,
            MessageBody=body.decode(),
            DelaySeconds=min(_MAX_DELAY_S, max(0, math.ceil(delay_s))),
        )

    def _update_shadows(
        self, federation: str, things: Iterable[str], desired: dict[str, Any]
    ) -> tuple[dict[str, float], list[Exception]]:
        """Returns when each thing was told, and why others were not: the client has tried again, for as long as it
        does."""
        payload = msgspec.json.encode({"state": {"desired": desired}})

        def update(thing: str) -> tuple[str, float] | Exception:
            try:
                self.iot.update_thing_shadow(thingName=thing, shadowName=names.shadow_name(federation), payload=payload)
            except (ClientError, BotoCoreError) as error:
                _log.exception("shadow not updated", extra=about(federation, thing=thing))
                return error
            return thing, time.time()

        outcomes = list(self.parallel.map(update, things))
        told = dict(outcome for outcome in outcomes if not isinstance(outcome, Exception))
        return told, [outcome for outcome in outcomes if isinstance(outcome, Exception)]


def _is_for_good(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_TO_BE_TOLD
