"""The rounds and responses tables, and the conditional writes that make a round safe.

Every event may come twice, late, out of order, or while another invocation works on the same round. What keeps the
state right is never a lock held in memory, but the condition of each write:

    claim       no such round yet, federation running and at round r-1   ->  open
    record      round open, no response of this client yet               ->  accepted + 1
    lease       round open, or averaging with an expired lease           ->  averaging
    end         open, or averaging under my lease, federation at r-1     ->  closed or aborted, pointer moved

A write whose condition fails has changed nothing; the caller reads why and goes on.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.state.records import Item, ResponseRecord, RoundRecord, from_item, to_attribute, to_item

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_log = logging.getLogger(__name__)

_STATUS = {"#status": "status"}


class UnknownRoundError(LookupError):
    """There is no such round."""


class NotClaimedError(Exception):
    """The round could not be opened: it exists already, or the federation is elsewhere or not running."""


class RoundMovedOnError(Exception):
    """The round is no longer in the state that a write needed; nothing was written."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch of accepted responses: `written` counted; `duplicates` were there before."""

    written: tuple[str, ...]
    duplicates: tuple[str, ...]


class Rounds:
    """The rounds of all federations of one deployment, with the responses to them."""

    def __init__(self, dynamodb: "DynamoDBClient", rounds: str, responses: str, federations: str) -> None:
        self._dynamodb = dynamodb
        self._rounds = rounds
        self._responses = responses
        self._federations = federations

    def get(self, federation: str, round_number: int) -> RoundRecord:
        """The round as it is now.

        Raises:
            UnknownRoundError: it was never opened.
        """
        answer = self._dynamodb.get_item(
            TableName=self._rounds, Key=_key(federation, round_number), ConsistentRead=True
        )
        if "Item" not in answer:
            raise UnknownRoundError(f"federation {federation!r} has no round {round_number}")
        return from_item(answer["Item"], RoundRecord)

    def claim(self, record: RoundRecord) -> None:
        """Open a round, once.

        Raises:
            NotClaimedError: someone else did, or the federation is not running or not at the round before.
        """
        try:
            self._dynamodb.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": self._rounds,
                            "Item": to_item(record),
                            "ConditionExpression": "attribute_not_exists(federation)",
                        }
                    },
                    {
                        "ConditionCheck": {
                            "TableName": self._federations,
                            "Key": {"federation": {"S": record.federation}},
                            "ConditionExpression": "#status = :running AND #round = :before",
                            "ExpressionAttributeNames": {"#status": "status", "#round": "round"},
                            "ExpressionAttributeValues": {
                                ":running": {"S": "running"},
                                ":before": to_attribute(record.round - 1),
                            },
                        }
                    },
                ]
            )
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            raise NotClaimedError(f"round {record.round} of {record.federation!r}: {error}") from error

    def set_notified(self, federation: str, round_number: int, notified: dict[str, float], now: float) -> None:
        """Note when each client's assignment was written: the round is fully open."""
        self._dynamodb.update_item(
            TableName=self._rounds,
            Key=_key(federation, round_number),
            UpdateExpression="SET notified = :notified, notified_at = :now",
            ExpressionAttributeValues={":notified": to_attribute(notified), ":now": to_attribute(now)},
        )

    def record(self, federation: str, round_number: int, responses: Sequence[ResponseRecord]) -> Recorded:
        """Count accepted responses of an open round, each client once, all in one transaction.

        Raises:
            RoundMovedOnError: the round is not open any more; nothing was counted.
        """
        pending = {response.thing: response for response in responses}
        duplicates: list[str] = []
        while pending:
            things = list(pending)
            writes: list[TransactWriteItemTypeDef] = [
                {
                    "Update": {
                        "TableName": self._rounds,
                        "Key": _key(federation, round_number),
                        "UpdateExpression": "ADD accepted :count",
                        "ConditionExpression": "#status = :open",
                        "ExpressionAttributeNames": _STATUS,
                        "ExpressionAttributeValues": {":count": to_attribute(len(things)), ":open": {"S": "open"}},
                    }
                },
                *(self._put_response(federation, round_number, pending[thing], new=True) for thing in things),
            ]
            try:
                self._dynamodb.transact_write_items(TransactItems=writes)
            except self._dynamodb.exceptions.TransactionCanceledException as error:
                reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
                known = [thing for thing, reason in zip(things, reasons[1:], strict=False) if reason == _FAILED]
                if not known and _FAILED in reasons[:1]:
                    raise RoundMovedOnError(f"round {round_number} of {federation!r} is not open") from error
                if not known and "TransactionConflict" not in reasons:
                    raise
                duplicates += known
                for thing in known:
                    del pending[thing]
                continue
            return Recorded(written=tuple(things), duplicates=tuple(duplicates))
        return Recorded(written=(), duplicates=tuple(duplicates))

    def refuse(self, federation: str, round_number: int, responses: Sequence[ResponseRecord]) -> None:
        """Record responses that don't count, with their reasons. They stand beside an accepted one, never over it."""
        if not responses:
            return
        writes = [self._put_response(federation, round_number, response, new=False) for response in responses]
        writes.append(
            {
                "Update": {
                    "TableName": self._rounds,
                    "Key": _key(federation, round_number),
                    "UpdateExpression": "ADD refused :count",
                    "ConditionExpression": "attribute_exists(federation)",
                    "ExpressionAttributeValues": {":count": to_attribute(len(responses))},
                }
            }
        )
        self._dynamodb.transact_write_items(TransactItems=writes)

    def lease(
        self, federation: str, round_number: int, accepted: int, owner: str, now: float, until: float
    ) -> RoundRecord:
        """Take the round to average it, if at least `accepted` updates were counted; returns it as it now is.

        Raises:
            RoundMovedOnError: fewer were counted, or another owner's lease runs, or the round has ended.
        """
        try:
            answer = self._dynamodb.update_item(
                TableName=self._rounds,
                Key=_key(federation, round_number),
                UpdateExpression=(
                    "SET #status = :averaging, lease_owner = :owner, lease_until = :until, "
                    "averaging_at = if_not_exists(averaging_at, :now)"
                ),
                ConditionExpression=(
                    "accepted >= :accepted AND (#status = :open OR (#status = :averaging AND "
                    "(lease_until < :now OR lease_owner = :owner)))"
                ),
                ExpressionAttributeNames=_STATUS,
                ExpressionAttributeValues={
                    ":averaging": {"S": "averaging"},
                    ":open": {"S": "open"},
                    ":owner": {"S": owner},
                    ":until": to_attribute(until),
                    ":now": to_attribute(now),
                    ":accepted": to_attribute(accepted),
                },
                ReturnValues="ALL_NEW",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise RoundMovedOnError(f"round {round_number} of {federation!r} can't be averaged now") from error
        return from_item(answer["Attributes"], RoundRecord)

    def release(self, record: RoundRecord) -> None:
        """Let go of a lease that this owner still has, so that a redelivery can take it at once."""
        try:
            self._dynamodb.update_item(
                TableName=self._rounds,
                Key=_key(record.federation, record.round),
                UpdateExpression="SET lease_until = :past",
                ConditionExpression="lease_owner = :owner",
                ExpressionAttributeValues={
                    ":past": to_attribute(0),
                    ":owner": to_attribute(record.lease_owner),
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            _log.info("federation=%s round=%d lease was lost already", record.federation, record.round)

    def end(self, record: RoundRecord, *, last: bool) -> None:
        """Write the end of a round, closed with a model or aborted with a reason, and move the federation's pointer;
        `last` finishes the federation.

        Raises:
            RoundMovedOnError: the round was taken over or has ended before; nothing was written.
        """
        changes = {
            name: value
            for name in ("status", "closed_at", "averaged_at", "model", "metrics", "reason")
            if (value := getattr(record, name)) is not None
        }
        if record.lease_owner is not None:
            condition = "#status = :averaging AND lease_owner = :owner"
            values = {":averaging": to_attribute("averaging"), ":owner": to_attribute(record.lease_owner)}
        else:
            condition, values = "#status = :open", {":open": to_attribute("open")}
        pointer: dict[str, Any] = {"round": record.round}
        if last:
            pointer["status"] = "finished"
        if record.model is not None:
            pointer["model"] = record.model
        try:
            self._dynamodb.transact_write_items(
                TransactItems=[
                    {
                        "Update": {
                            "TableName": self._rounds,
                            "Key": _key(record.federation, record.round),
                            "UpdateExpression": _set(changes) + " REMOVE lease_owner, lease_until",
                            "ConditionExpression": condition,
                            "ExpressionAttributeNames": {f"#{name}": name for name in changes},
                            "ExpressionAttributeValues": _values(changes) | values,
                        }
                    },
                    {
                        "Update": {
                            "TableName": self._federations,
                            "Key": {"federation": {"S": record.federation}},
                            "UpdateExpression": _set(pointer),
                            "ConditionExpression": "#round = :before",
                            "ExpressionAttributeNames": {f"#{name}": name for name in pointer},
                            "ExpressionAttributeValues": _values(pointer) | {":before": to_attribute(record.round - 1)},
                        }
                    },
                ]
            )
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            raise RoundMovedOnError(f"round {record.round} of {record.federation!r} moved on: {error}") from error

    def accepted(self, federation: str, round_number: int) -> list[ResponseRecord]:
        """The accepted responses of a round, in the order of their things' names."""
        return [response for response in self.responses(federation, round_number) if response.state == "accepted"]

    def responses(self, federation: str, round_number: int) -> list[ResponseRecord]:
        """All responses of a round: the accepted ones in the order of their things' names, and the refused ones."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._responses,
            KeyConditionExpression="#round = :round",
            ExpressionAttributeNames={"#round": "round"},
            ExpressionAttributeValues={":round": {"S": _round_of_responses(federation, round_number)}},
            ConsistentRead=True,
        )
        return [from_item(item, ResponseRecord) for page in pages for item in page["Items"]]

    def _put_response(
        self, federation: str, round_number: int, response: ResponseRecord, *, new: bool
    ) -> "TransactWriteItemTypeDef":
        key = response.thing if response.state == "accepted" else f"{response.thing}#refused"
        item = to_item(response, round=_round_of_responses(federation, round_number), response=key)
        write: TransactWriteItemTypeDef = {"Put": {"TableName": self._responses, "Item": item}}
        if new:
            write["Put"]["ConditionExpression"] = "attribute_not_exists(thing)"
        return write


_FAILED = "ConditionalCheckFailed"


def _key(federation: str, round_number: int) -> Item:
    return {"federation": {"S": federation}, "round": to_attribute(round_number)}


def _round_of_responses(federation: str, round_number: int) -> str:
    return f"{federation}#{round_number:08d}"


def _set(changes: dict[str, Any]) -> str:
    return "SET " + ", ".join(f"#{name} = :{name}" for name in changes)


def _values(changes: dict[str, Any]) -> Item:
    return {f":{name}": to_attribute(value) for name, value in changes.items()}
