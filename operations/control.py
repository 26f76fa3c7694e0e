"""What an operator does with a deployment: look at its state, start its federations."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from cloud.settings import Federation
from cloud.state.clients import Clients
from cloud.state.federations import Federations, WrongStatusError
from cloud.state.messaging import Notices
from cloud.state.models import Models
from cloud.state.records import FederationRecord, FederationStatus, RoundRecord
from cloud.state.rounds import Rounds, UnknownRoundError
from operations.deployment import Deployment
from operations.shadows import progress_of
from protocol import names
from protocol.messages import AbortRound, ModelReference

_POLL_S = 0.2


class NoRoundError(LookupError):
    """No round is under way."""


class NoModelError(LookupError):
    """A round that made no model."""


class RoundUnderWayError(Exception):
    """Something that has to wait until no round is under way."""


class Operations:
    """The tables and the bucket of a deployment, as the functions see them. `client` gives a boto3 client by its
    service's name."""

    def __init__(self, client: Callable[[str], Any], deployment: Deployment) -> None:
        self._dynamodb = dynamodb = client("dynamodb")
        self._deployment = deployment
        self.federations = Federations(dynamodb, deployment.federations_table)
        self.clients = Clients(dynamodb, deployment.clients_table)
        self.rounds = self.rounds_reader(Counter())
        self.models = Models(client("s3"), deployment.bucket)
        self.progress_of = partial(progress_of, client("iot-data"))
        self.notices = Notices(
            client("iot-data"),
            client("sqs"),
            deployment.rounds_queue,
            deployment.control_queue,
            deployment.updates_queue,
            deployment.shards_queue,
            ThreadPoolExecutor(8),
        )

    def rounds_reader(self, left_out: Counter[str]) -> Rounds:
        """The rounds, for one thread to read. `left_out` is as for `Reader`."""
        tables = self._deployment
        return Rounds(self._dynamodb, tables.rounds_table, tables.responses_table, tables.federations_table, left_out)

    def put_initial(self, settings: Federation, model: bytes) -> ModelReference:
        """Upload model 0 of a new life, and its bfloat16 copy, which devices download, if the settings ask for one. An
        earlier federation of the name, if there was one, keeps its objects.

        Raises:
            TooLargeNumberError: the bfloat16 copy can't hold a number of the model.
        """
        copy = None
        if settings.has_bfloat16_copy:
            from cloud.averaging.bfloat16_copy import bfloat16_copy_of  # and numpy, which no other command needs

            copy = bfloat16_copy_of(model)
        life = names.new_life()
        reference = self.models.put_new(names.model_key(settings.name, 0, life), model)
        if copy is None:
            return reference
        return msgspec.structs.replace(
            reference, copy=self.models.put_new(names.bfloat16_key(settings.name, 0, life), copy)
        )

    def made_by(self, record: FederationRecord) -> RoundRecord | None:
        """The round that made a federation's current model, None if that is the initial one or there is no record."""
        try:
            return self.rounds.get(record.federation, names.parse_model_key(record.model.key).round)
        except UnknownRoundError:
            return None

    def under_way(self, record: FederationRecord) -> RoundRecord | None:
        """The round that follows a federation's last one, None if there is none yet."""
        try:
            return self.rounds.of(record.federation, record.life, record.round + 1)
        except UnknownRoundError:
            return None

    def start(self, federation: str) -> FederationRecord:
        """Let a federation's rounds begin, or go on after a pause, or after it had finished and was given more.

        Raises:
            UnknownFederationError: there is none of this name.
            WrongStatusError: it has finished; a note has the remedy.
        """
        before = self.federations.get(federation)
        allowed: tuple[FederationStatus, ...] = ("ready", "running", "paused")
        if before.round < before.settings.rounds:
            allowed += ("finished",)
        try:
            record = self.federations.change_status(federation, "running", allowed)
        except WrongStatusError as error:
            error.add_note(
                f"it has had its last round, {before.settings.rounds}: raise `rounds` in federation.yaml, give "
                "`fedgrass update`, and then this again"
            )
            raise
        self.notices.ask_for_round(record.next_round, time.time())
        return record

    def pause(self, federation: str) -> FederationRecord:
        """Let no further round open; one that is open goes on to its end.

        Raises:
            UnknownFederationError: there is none of this name.
            WrongStatusError: it does not run.
        """
        return self.federations.change_status(federation, "paused", ("running", "paused"))

    def abort_round(self, federation: str, reason: str, limit_s: float = 60.0) -> RoundRecord:
        """End the round that is under way without a model, and return when it has ended.

        Raises:
            UnknownFederationError: there is none of this name.
            NoRoundError: no round is under way.
            TimeoutError: the averager has not done it in time.
        """
        found = self.federations.get(federation)
        if (record := self.under_way(found)) is None:
            raise NoRoundError(f"no round of {federation!r} is under way: the last one was {found.round}")
        number, life = record.round, record.life
        self.notices.ask_for_abort(AbortRound(federation=federation, life=life, round=number, reason=reason))
        deadline = time.monotonic() + limit_s
        while not record.has_ended:
            if time.monotonic() > deadline:
                raise TimeoutError(f"round {number} of {federation!r} is still {record.status} after {limit_s:.0f} s")
            time.sleep(_POLL_S)
            record = self.rounds.of(federation, life, number)
        return record

    def roll_back(self, federation: str, to_round: int) -> FederationRecord:
        """Make the model of an earlier round the current one, for the rounds to come. Round numbers go on, and no
        model is deleted: rolling back can be rolled back.

        Raises:
            UnknownFederationError: there is none of this name.
            UnknownRoundError: that round has not been.
            NoModelError: it made no model.
            WrongStatusError: the federation runs.
            RoundUnderWayError: a round is under way, which would close with a model made from the present one.
        """
        record = self.federations.get(federation)
        model = self.model_of(record, to_round)
        if (current := self.under_way(record)) is None:
            return self.federations.set_model(record, model)
        raise RoundUnderWayError(
            f"round {current.round} of {federation!r} is {current.status}: wait for its end, or abort it"
        )

    def model_of(self, record: FederationRecord, number: int) -> ModelReference:
        """The model that a round made; round 0 is the initial one.

        Raises:
            UnknownRoundError: that round has not been.
            NoModelError: it made no model.
        """
        if number == 0 == record.round:
            return record.model
        if number == 0:
            return self.rounds.of(record.federation, record.life, 1).base
        made = self.rounds.of(record.federation, record.life, number)
        if made.model is None:
            raise NoModelError(f"round {number} of {record.federation!r} made no model: it is {made.status}")
        return made.model
