"""The clients table: what each client of a federation can do, and how it has done."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.state.batches import read_items
from cloud.state.expressions import setting, update_of
from cloud.state.lenient_reader import Reader
from cloud.state.places import Window, place_of
from cloud.state.records import ClientRecord, Item
from cloud.state.transactions import TRANSACTION_ITEMS, transact
from protocol.messages import Hello

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

BY_PLACE = "by-place"
"""The index of the clients by their places (see template.yaml)."""

COUNTED_S = 3600.0
"""A large fleet is counted once an hour at most, when a round opens; at once, if what was drawn does not fit."""


_HAS_SAID_HELLO = "attribute_exists(last_seen)"


class ClientHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What a round adds to a client's record, as absolute values, so that writing it twice is harmless. `last_round` is
    None if the record keeps that which it has, and its reason; what else is None it keeps as well."""

    thing: str
    turnaround_s: float | None
    missed: int
    last_round: int | None
    last_reason: str | None = None
    norm: float | None = None
    loss: float | None = None
    stratum: str | None = None
    download_s: float | None = None
    train_s: float | None = None
    upload_s: float | None = None

    @property
    def known(self) -> dict[str, float | str]:
        """What it says, by the fields of a client's record."""
        values = msgspec.structs.asdict(self)
        return {name: value for name, value in values.items() if name != "thing" and value is not None}

    @property
    def clears_reason(self) -> bool:
        """Whether the record has no reason afterwards."""
        return self.last_round is not None and self.last_reason is None

    def added_to(self, client: ClientRecord) -> ClientRecord:
        """The client's record after it."""
        return msgspec.structs.replace(client, **({"last_reason": None} if self.clears_reason else {}), **self.known)


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """How many clients there are. Those `to_keep` have no place yet, or would expire."""

    clients: int
    to_keep: tuple[ClientRecord, ...]


class Clients:
    """The clients of one deployment. A client joins a federation by its first hello. `left_out` is as for `Reader`."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, left_out: Counter[str] | None = None) -> None:
        self._reader = Reader(left_out)
        self._dynamodb = dynamodb
        self._table = table

    def of(self, federation: str) -> list[ClientRecord]:
        """All clients of a federation, in the order of their things' names."""
        return list(self._reader.records(self._items(federation, ConsistentRead=True), ClientRecord))

    def of_small(self, federation: str, most: int) -> list[ClientRecord] | None:
        """The same, or None if there are more than `most`."""
        items = list(itertools.islice(self._items(federation, ConsistentRead=True), most + 1))
        return None if len(items) > most else list(self._reader.records(items, ClientRecord))

    def these(self, federation: str, things: Sequence[str]) -> list[ClientRecord]:
        """The clients among these things."""
        return self._with([_key(federation, thing) for thing in things])

    def of_thing(self, thing: str, federations: Sequence[str]) -> list[ClientRecord]:
        """The clients that a thing is in these federations."""
        return self._with([_key(federation, thing) for federation in federations])

    def within(self, federation: str, window: Window) -> list[str]:
        """The things of the clients with these places. One that has come or gone a moment ago may be wrong."""
        pages = self._pages(
            federation,
            " AND place BETWEEN :first AND :last",
            window._asdict(),
            IndexName=BY_PLACE,
            ProjectionExpression="thing",
        )
        return [item["thing"]["S"] for page in pages for item in page["Items"]]

    def things(self, federation: str) -> list[str]:
        """The things of all clients."""
        return [item["thing"]["S"] for item in self._items(federation, ProjectionExpression="thing")]

    def readiness(self, federation: str) -> dict[str, bool]:
        """Of each client, whether it has said last that it is ready."""
        items = self._items(federation, ProjectionExpression="thing, ready")
        return {item["thing"]["S"]: item.get("ready", {}).get("BOOL", False) for item in items}

    def census(self, federation: str) -> Census:
        """Count the clients. AWS reads all of their records, but sends only what is to be kept."""
        pages = self._pages(
            federation,
            FilterExpression="attribute_not_exists(place) OR attribute_exists(expires_at)",
            ProjectionExpression="federation, thing, last_seen",
        )
        clients, to_keep = 0, list[ClientRecord]()
        for page in pages:
            found = [item for item in page["Items"] if "last_seen" in item]
            clients += page["ScannedCount"] - (len(page["Items"]) - len(found))  # without those that are forgotten
            to_keep += self._reader.records(found, ClientRecord)
        return Census(clients=clients, to_keep=tuple(to_keep))

    def _with(self, keys: Sequence[Item]) -> list[ClientRecord]:
        found = read_items(self._dynamodb, [(self._table, key) for key in keys])
        clients = (item for item in found[self._table] if "last_seen" in item)
        return list(self._reader.records(clients, ClientRecord))

    def _items(self, federation: str, **options: Any) -> Iterator[Any]:
        """As `_pages`, those of clients one by one: an item without a hello is none."""
        pages = self._pages(federation, FilterExpression=_HAS_SAID_HELLO, **options)
        return (item for page in pages for item in page["Items"])

    def _pages(
        self, federation: str, condition: str = "", values: Mapping[str, str] = {}, **options: Any
    ) -> Iterator[Any]:
        """What a query gives of a federation's items, or of those whose keys meet a further `condition`."""
        yield from self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"federation = :federation{condition}",
            ExpressionAttributeValues={
                f":{name}": {"S": value} for name, value in {"federation": federation, **values}.items()
            },
            **options,
        )

    def each(self, federation: str, after: str = "", at_once: int | None = None) -> Iterator[ClientRecord]:
        """The clients of a federation whose things' names come after this one, in their order, as they were a moment
        ago. They are read as they are asked for, so many `at_once`; None for as many as DynamoDB gives."""
        condition, values = (" AND thing > :after", {"after": after}) if after else ("", {})
        limits = {} if at_once is None else {"PageSize": at_once}
        items = self._items(federation, condition=condition, values=values, PaginationConfig=limits)
        yield from self._reader.records(items, ClientRecord)

    def forget(self, federation: str, thing: str) -> bool:
        """Delete a client's record; whether there was one. A round that it is in will write its history again, which is
        no client before its next hello."""
        answer = self._dynamodb.delete_item(TableName=self._table, Key=_key(federation, thing), ReturnValues="ALL_OLD")
        return "Attributes" in answer

    def greet(self, federation: str, thing: str, hello: Hello, now: float, *, expires_at: float | None = None) -> None:
        """Record what a client says of itself; its history stays as it is. With `expires_at`, the record is deleted
        then, unless `keep` or another hello comes before."""
        values: dict[str, float | str | bool] = {
            "place": place_of(federation, thing),
            "last_seen": now,
            "component_version": hello.component_version,
            "architecture": hello.architecture,
            "memory_bytes": hello.memory_bytes,
            "cpu_count": hello.cpu_count,
        }
        told = {"examples": hello.examples, "nucleus": hello.nucleus, "ready": hello.ready}
        values |= {name: value for name, value in told.items() if value is not None}
        if expires_at is not None:
            values["expires_at"] = math.ceil(expires_at)
        changes = setting(values, removed=["expires_at"] if expires_at is None else [])
        self._dynamodb.update_item(**update_of(self._table, _key(federation, thing), changes, values))

    def keep(self, client: ClientRecord) -> None:
        """Let a client's record not expire: there is its federation; and give it its place, which no earlier version
        did. One that has expired meanwhile stays away."""
        key, values = _key(client.federation, client.thing), {"place": place_of(client.federation, client.thing)}
        update = update_of(self._table, key, setting(values, ["expires_at"]), values, "attribute_exists(thing)")
        with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._dynamodb.update_item(**update)

    def record_histories(self, federation: str, histories: Iterable[ClientHistory]) -> None:
        """Write what a round taught about clients, as many a call as DynamoDB takes."""
        writes = self.history_writes(federation, histories)
        for start in range(0, len(writes), TRANSACTION_ITEMS):
            transact(self._dynamodb, writes[start : start + TRANSACTION_ITEMS])

    def history_writes(self, federation: str, histories: Iterable[ClientHistory]) -> "list[TransactWriteItemTypeDef]":
        """The writes of what a round taught about clients, to be part of a transaction."""
        writes: list[TransactWriteItemTypeDef] = []
        for history in histories:
            changes = setting(history.known, removed=["last_reason"] if history.clears_reason else [])
            update = update_of(self._table, _key(federation, history.thing), changes, history.known)
            writes.append({"Update": update})
        return writes


def _key(federation: str, thing: str) -> Item:
    return {"federation": {"S": federation}, "thing": {"S": thing}}
