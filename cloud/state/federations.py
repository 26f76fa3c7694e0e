"""The federations table: settings, and the pointer to the current global model."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloud.settings import Federation
from cloud.state.expressions import same, update_of
from cloud.state.lenient_reader import Reader
from cloud.state.records import (
    CorruptRecordError,
    FederationRecord,
    FederationStatus,
    FleetCount,
    from_item,
    to_item,
)
from cloud.state.settings_history import MAX_CHANGES, SettingsChange
from protocol import names
from protocol.messages import ModelReference

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


_TAKEN = "there is already a federation {!r}: choose another name in federation.yaml"


class UnknownFederationError(LookupError):
    """There is no federation of this name."""


class FederationExistsError(Exception):
    """There is already a federation of this name."""


class WrongStatusError(Exception):
    """The federation's status does not allow this."""


class ChangedMeanwhileError(Exception):
    """The federation is not any more what it was when it was read: nothing was written."""


class Federations:
    """The federations of one deployment. `left_out` is as for `Reader`."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, left_out: Counter[str] | None = None) -> None:
        self._reader = Reader(left_out)
        self._dynamodb = dynamodb
        self._table = table

    def get(self, federation: str) -> FederationRecord:
        """The federation as it is now.

        Raises:
            UnknownFederationError: there is none of this name.
        """
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"federation": {"S": federation}}, ConsistentRead=True
        )
        if "Item" not in answer:
            raise UnknownFederationError(f"there is no federation {federation!r}: make it with `fedgrass init`")
        return from_item(answer["Item"], FederationRecord)

    def all(self) -> list[FederationRecord]:
        """Every federation of the deployment, but for those whose records can't be read."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table)
        return list(self._reader.records((item for page in pages for item in page["Items"]), FederationRecord))

    def check_free(self, federation: str) -> None:
        """Passes if there is no federation of this name.

        Raises:
            FederationExistsError: the name is taken.
        """
        try:
            self.get(federation)
        except UnknownFederationError:
            return
        except CorruptRecordError as error:
            raise FederationExistsError(f"{_TAKEN.format(federation)} ({error})") from error
        raise FederationExistsError(_TAKEN.format(federation))

    def create(self, settings: Federation, model: ModelReference, schema: str) -> FederationRecord:
        """A new federation, ready to start from its initial model, whose key says which life this is.

        Raises:
            FederationExistsError: the name is taken.
        """
        record = FederationRecord(
            federation=settings.name,
            settings=settings,
            status="ready",
            round=0,
            model=model,
            schema=schema,
            life=names.parse_model_key(model.key).life,
        )
        try:
            self._dynamodb.put_item(
                TableName=self._table, Item=to_item(record), ConditionExpression="attribute_not_exists(federation)"
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise FederationExistsError(_TAKEN.format(settings.name)) from error
        return record

    def change_status(
        self, federation: str, status: FederationStatus, allowed: tuple[FederationStatus, ...]
    ) -> FederationRecord:
        """Start, pause or resume a federation; returns it as it then is.

        Raises:
            UnknownFederationError: there is none of this name.
            WrongStatusError: its status is none of `allowed`.
        """
        condition = f"#status IN ({', '.join(f':{other}' for other in allowed)})"
        values = {"status": status} | {other: other for other in allowed}
        try:
            changed = self._update(federation, "SET #status = :status", values, condition)
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            found = self.get(federation).status
            raise WrongStatusError(
                f"federation {federation!r} is {found}; it would have to be {' or '.join(allowed)}"
            ) from error
        return from_item(changed, FederationRecord)

    def stop(self, before: FederationRecord, reason: str) -> None:
        """End the rounds of a federation that runs, by its stop rule. One that has changed meanwhile goes on."""
        values = {
            "finished": "finished",
            "running": "running",
            "reason": reason,
            "life": before.life,
            "revision": before.revision,
            "round": before.round,
        }
        condition = f"{_same_settings(before)} AND #round = :round AND #status = :running"
        with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._update(before.federation, "SET #status = :finished, #stopped = :reason", values, condition)

    def set_model(self, before: FederationRecord, model: ModelReference) -> FederationRecord:
        """Move the pointer to another model, for the rounds to come; returns the federation as it then is.

        Raises:
            WrongStatusError: it runs, so that a round may open from the present model; or a round has ended meanwhile.
        """
        values = {"model": model, "round": before.round, "running": "running"}
        condition = "#round = :round AND #status <> :running"
        try:
            changed = self._update(before.federation, "SET #model = :model", values, condition)
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise WrongStatusError(
                f"federation {before.federation!r} runs, or a round of it has just ended: pause it, and try again"
            ) from error
        return from_item(changed, FederationRecord)

    def change_settings(
        self, before: FederationRecord, settings: Federation, change: SettingsChange
    ) -> FederationRecord:
        """Give a federation other settings, for the rounds that open from now on; returns it as it then is. No round
        opens that was made up before. One that had finished and has rounds to go is paused.

        Raises:
            ChangedMeanwhileError: it is not of the revision that `before` has, or has ended another round since.
        """
        has_more = before.status == "finished" and before.round < settings.rounds
        new = {
            "settings": settings,
            "status": "paused" if has_more else before.status,
            "revision": before.revision + 1,
            "changes": (*before.changes, change)[-MAX_CHANGES:],
        }
        changes = "SET " + ", ".join(f"#{name} = :new_{name}" for name in new)
        values = {"life": before.life, "revision": before.revision, "round": before.round, "before": before.status}
        values |= {f"new_{name}": value for name, value in new.items()}
        condition = f"{_same_settings(before)} AND #round = :round AND #status = :before"
        try:
            changed = self._update(before.federation, changes, values, condition)
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise ChangedMeanwhileError(
                f"federation {before.federation!r} has changed, or a round of it has ended, since it was looked at: "
                "try again"
            ) from error
        return from_item(changed, FederationRecord)

    def set_expelled(self, seen: FederationRecord, thing: str, *, expelled: bool) -> FederationRecord:
        """Expel a thing from a federation, as it was `seen`, or take that back; returns the federation as it then is.
        No round opens that was made up before.

        Raises:
            UnknownFederationError: there is none of this name.
        """
        before = seen
        while True:
            after = tuple(sorted({*before.expelled, thing} if expelled else {*before.expelled} - {thing}))
            values = {"expelled": before.expelled, "after": after}
            condition = f"attribute_exists(federation) AND {same('expelled', before.expelled)}"
            try:
                changed = self._update(seen.federation, "SET expelled = :after", values, condition)
            except self._dynamodb.exceptions.ConditionalCheckFailedException:
                before = self.get(seen.federation)  # someone has expelled another thing meanwhile
                continue
            return from_item(changed, FederationRecord)

    def forget_last_updates(self, federation: str) -> None:
        """Have the next rounds use no client's last update from before, nor one of a round that is under way."""
        self._update(federation, "SET forgot_in = #round + :one", {"one": 1})

    def set_fleet(self, federation: FederationRecord, fleet: FleetCount | None) -> None:
        """Note how many clients there are, or that they are few. A federation that was made anew meanwhile stays as it
        is."""
        changes = "REMOVE fleet" if fleet is None else "SET fleet = :fleet"
        values = {"life": federation.life} | ({} if fleet is None else {"fleet": fleet})
        condition = f"attribute_exists(federation) AND {same('life', federation.life)}"
        with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._update(federation.federation, changes, values, condition)

    def set_waiting(self, federation: str, waiting: bool) -> None:
        """Note that a round waits for clients, or that it does no more."""
        self._update(federation, "SET waiting = :waiting", {"waiting": waiting})

    def _update(
        self,
        federation: str,
        changes: str,
        values: Mapping[str, Any],
        condition: str = "attribute_exists(federation)",
    ) -> Mapping[str, Any]:
        """Change a federation's item, as `update_of` has it; returns what it then is.

        Raises:
            ConditionalCheckFailedException: the condition did not hold, and nothing was written.
        """
        update = update_of(self._table, {"federation": {"S": federation}}, changes, values, condition)
        return self._dynamodb.update_item(**update, ReturnValues="ALL_NEW")["Attributes"]


def _same_settings(before: FederationRecord) -> str:
    return f"{same('life', before.life)} AND {same('revision', before.revision)}"
