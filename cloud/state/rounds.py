"""The rounds and responses tables, and the conditional writes that make a round safe.

A round is two items: what changes is small, and in the rounds table; what is fixed is in its partition of the responses
table, with one item for each client's response:

    rounds      <federation>, <round>                           status, version, counts, deadline, lease, ...
    responses   <federation>#<round>, #plan                     settings, base model, cohort, target, ...
                                      #notified                 when each client's assignment was written
                                      <thing>                   the response that counts
                                      <thing>#refused           the last one that did not
                                      <thing>#early-update      the newest that waits for a round, in a buffered
                                      <thing>#early-word        federation

What keeps the state right is never a lock held in memory, but the condition of each write: a round changes only from
the version that was read, a client's response is counted only if there is none, the federation's pointer moves only
from the round before. A write whose condition fails has changed nothing, and tells what there is instead.

What a federation of the same name has left behind is of another life: a new round takes its place, and its responses
are no responses to the new one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cloud.state.batches import read_items
from cloud.state.expressions import is_new, same, setting, update_of
from cloud.state.lenient_reader import Reader
from cloud.state.records import (
    FIXED_FIELDS,
    CorruptRecordError,
    Item,
    ResponseRecord,
    ResponseState,
    RoundRecord,
    RoundResult,
    fixed_item,
    from_item,
    to_attribute,
    to_item,
)
from cloud.state.transactions import FAILED, TRANSACTION_ITEMS, transact

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

_FIXED_ITEMS_CACHED = 64

ROOM_AT_END = TRANSACTION_ITEMS - 2
"""The transaction that ends a round has room for so many writes beside those of the round and of the pointer."""

# Stored keys, of updates and of outcomes: they stay as they are.
_EARLY = {False: "#early-update", True: "#early-word"}

_IDENTITY = ("federation", "round", "opened_at", "life", "version")
"""Fields of the changing item that a step does not change."""


class UnknownRoundError(LookupError):
    """There is no such round."""


class NotClaimedError(Exception):
    """The round could not be opened: it exists already, or the federation is elsewhere or not running."""


class LostFederationError(LookupError):
    """The federation that a round belongs to is gone, or was made anew: nothing was written, and nothing ever will."""


class StaleRoundError(Exception):
    """The round is not of the version that a write was made for; nothing was written. `current` is what there is."""

    def __init__(self, current: RoundRecord) -> None:
        super().__init__(f"round {current.round} of {current.federation!r} has moved on: it is {current.status}")
        self.current = current


class KnownResponsesError(Exception):
    """Some clients' responses are recorded already; nothing was written. `states` is thing -> the state on record."""

    def __init__(self, states: Mapping[str, ResponseState]) -> None:
        super().__init__(f"there are responses of {', '.join(sorted(states))} already")
        self.states = states


class Responses(msgspec.Struct, frozen=True, kw_only=True):
    """All responses to a round, each kind in the order of the things' names, and when its clients were notified."""

    accepted: tuple[ResponseRecord, ...] = ()
    failed: tuple[ResponseRecord, ...] = ()
    refused: tuple[ResponseRecord, ...] = ()
    notified: dict[str, float] = {}

    def including(self, responses: Iterable[ResponseRecord]) -> "Responses":
        """These responses with some that count, each in the place of its client's earlier one."""
        known = {r.thing: r for r in (*self.accepted, *self.failed, *responses)}
        counted = [known[thing] for thing in sorted(known)]
        return msgspec.structs.replace(
            self,
            accepted=tuple(r for r in counted if r.state == "accepted"),
            failed=tuple(r for r in counted if r.state != "accepted"),
        )


class _FixedItem(msgspec.Struct):
    item: Item
    opened_at: float


class _Notified(msgspec.Struct):
    notified: dict[str, float]
    life: str = ""


def after_round(record: RoundRecord, *, last: bool) -> dict[str, Any]:
    """What a round that has ended changes of its federation's record, by field; the `last` one finishes it."""
    names = ("round", "stopped", "model", "next_at", "best", "average_s", "spent_usd", "round_usd", "evaluation")
    values = {name: getattr(record, name) for name in names} | {"status": "finished" if last else None}
    return {name: value for name, value in values.items() if value is not None}


class Rounds:
    """The rounds of all federations of one deployment, with the responses to them. `left_out` is as for `Reader`."""

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        rounds: str,
        responses: str,
        federations: str,
        left_out: Counter[str] | None = None,
    ) -> None:
        self._reader = Reader(left_out)
        self._dynamodb = dynamodb
        self._rounds = rounds
        self._responses = responses
        self._federations = federations
        self._fixed_items: dict[tuple[str, int], _FixedItem] = {}

    def get(self, federation: str, round_number: int) -> RoundRecord:
        """The round as it is now.

        Raises:
            UnknownRoundError: it was never opened.
            CorruptRecordError: it can't be read.
        """
        wanted = [(self._rounds, _key(federation, round_number))]
        if (federation, round_number) not in self._fixed_items:
            wanted.append((self._responses, _response_key(federation, round_number, "#plan")))
        found = read_items(self._dynamodb, wanted)
        if not found[self._rounds]:
            raise UnknownRoundError(f"federation {federation!r} has no round {round_number}")
        for fixed in found[self._responses]:
            self._remember(federation, round_number, fixed)
        return self._join(found[self._rounds][0])

    def of(self, federation: str, life: str, round_number: int) -> RoundRecord:
        """As `get`, but a round of another life of the federation is as good as none."""
        record = self.get(federation, round_number)
        if record.life != life:
            raise UnknownRoundError(f"federation {federation!r} has no round {round_number} in life {life!r}")
        return record

    def results(self, federation: str, life: str) -> Iterator[RoundResult]:
        """What came of the rounds of a federation's life that have been opened, in their order."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._rounds,
            KeyConditionExpression="federation = :federation",
            ExpressionAttributeValues={":federation": {"S": federation}},
            ConsistentRead=True,
        )
        results = self._reader.records((item for page in pages for item in page["Items"]), RoundResult)
        return (result for result in results if result.life == life)

    def known(self, rounds: Iterable[tuple[str, str, int]]) -> set[tuple[str, str, int]]:
        """Which of these rounds, by federation, life and number, have been opened."""
        keys = {(federation, round_number) for federation, _, round_number in rounds}
        found = read_items(self._dynamodb, [(self._rounds, _key(*key)) for key in keys])
        return {(item["federation"]["S"], _life_of(item), int(item["round"]["N"])) for item in found[self._rounds]}

    def claim(self, record: RoundRecord) -> None:
        """Open a round, once.

        Raises:
            NotClaimedError: someone else did, or the federation is not running, or not at the round before, or its
                model or its settings are others by now, or it has expelled others.
        """
        changing = {name: getattr(record, name) for name in record.__struct_fields__ if name not in FIXED_FIELDS}
        item = {name: to_attribute(value) for name, value in changing.items() if value is not None}
        put: Any = {"TableName": self._rounds, "Item": item} | is_new("federation", record.life)
        writes: list[TransactWriteItemTypeDef] = [
            {"Put": put},
            {"Put": self._put(record.federation, record.round, "#plan", fixed_item(record))},
            {
                "ConditionCheck": {
                    "TableName": self._federations,
                    "Key": {"federation": {"S": record.federation}},
                    # The key of a model is of one life and one round. What refers to it may have more fields than this
                    # version knows.
                    "ConditionExpression": "#status = :running AND #round = :before"
                    " AND contains(#model, :key) AND contains(#model, :sha256)"
                    f" AND {same('expelled', record.expelled)} AND {same('revision', record.revision)}",
                    "ExpressionAttributeNames": {"#status": "status", "#round": "round", "#model": "model"},
                    "ExpressionAttributeValues": {
                        ":running": {"S": "running"},
                        ":before": to_attribute(record.round - 1),
                        ":key": {"S": f'"{record.base.key}"'},
                        ":sha256": {"S": f'"{record.base.sha256}"'},
                        ":expelled": to_attribute(record.expelled),
                        ":revision": to_attribute(record.revision),
                    },
                }
            },
        ]
        try:
            transact(self._dynamodb, writes)
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            raise NotClaimedError(f"round {record.round} of {record.federation!r}: {error}") from error

    def set_notified(self, record: RoundRecord, notified: dict[str, float], now: float) -> None:
        """Note when each client's assignment was written: the round is fully open."""
        key = _key(record.federation, record.round)
        values = {"now": now, "opened_at": record.opened_at}
        item = to_item(_Notified(notified, record.life))
        writes: list[TransactWriteItemTypeDef] = [
            {"Update": update_of(self._rounds, key, "SET notified_at = :now", values, "opened_at = :opened_at")},
            {"Put": self._put(record.federation, record.round, "#notified", item)},
        ]
        transact(self._dynamodb, writes)

    def write(
        self,
        before: RoundRecord,
        after: RoundRecord,
        new: Sequence[ResponseRecord] = (),
        recovered: Iterable[str] = (),
        also: "Sequence[TransactWriteItemTypeDef]" = (),
        *,
        last: bool = False,
    ) -> RoundRecord:
        """Make one step of a round's life lasting, with the responses it counts, in one transaction; returns the round
        as it now is. A round that ends moves the federation's pointer; `last` finishes the federation.

        `recovered` are the clients among `new` whose earlier response this one replaces: an update one that failed
        or declined, that of an expulsion any. `also` are writes to other tables that belong to the step: with `new` at
        most ROOM_AT_END.

        Raises:
            StaleRoundError: the round is not as it was in `before`.
            LostFederationError: see there.
            KnownResponsesError: some of `new` are on record already.
        """
        written = msgspec.structs.replace(after, version=before.version + 1)
        writes = [self._step(before, written)]
        if written.has_ended:
            writes.append(self._move_pointer(written, last=last))
        first_response = len(writes)
        writes += [self._put_response(before, response, response.thing in set(recovered)) for response in new]
        try:
            transact(self._dynamodb, [*writes, *also])
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            reasons: list[dict[str, Any]] = [dict(r) for r in error.response.get("CancellationReasons", [])]
            self._explain(before, new, reasons, first_response)
            raise
        return written

    def refuse(self, federation: str, round_number: int, responses: Sequence[ResponseRecord], life: str = "") -> None:
        """Record responses that don't count, with their reasons. They stand beside one that does, never over it. `life`
        is that of the round."""
        if not responses:
            return
        writes: list[TransactWriteItemTypeDef] = []
        for response in responses:
            item = to_item(msgspec.structs.replace(response, life=life))
            writes.append({"Put": self._put(federation, round_number, f"{response.thing}#refused", item)})
        if round_number:
            key, values = _key(federation, round_number), {"count": len(responses)}
            update = update_of(self._rounds, key, "ADD refused :count", values, "attribute_exists(federation)")
            writes.append({"Update": update})
        transact(self._dynamodb, writes)

    def put_off(self, federation: str, round_number: int, early: Sequence[ResponseRecord]) -> None:
        """Record which responses wait for a round, in the place of those that waited before them."""
        writes: list[TransactWriteItemTypeDef] = []
        for response in early:
            name = response.thing + _EARLY[response.key is None]
            writes.append({"Put": self._put(federation, round_number, name, to_item(response))})
        if writes:
            transact(self._dynamodb, writes)

    def responses(self, federation: str, round_number: int) -> Responses:
        """All that came back in a round."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._responses,
            KeyConditionExpression="#round = :round",
            ExpressionAttributeNames={"#round": "round"},
            ExpressionAttributeValues={":round": {"S": _partition(federation, round_number)}},
            ConsistentRead=True,
        )
        items = {item["response"]["S"]: item for page in pages for item in page["Items"]}
        fixed = items.pop("#plan", None)
        notified_item = items.pop("#notified", None)
        responses = list(self._reader.records(items.values(), ResponseRecord))
        notified: dict[str, float] = {}
        if fixed is not None:
            self._remember(federation, round_number, fixed)
            life = _life_of(fixed)
            responses = [response for response in responses if response.life == life]
            for record in self._reader.records([notified_item] if notified_item else [], _Notified):
                notified = record.notified if record.life == life else {}
        return Responses(
            accepted=tuple(r for r in responses if r.state == "accepted"),
            failed=tuple(r for r in responses if r.state in ("failed", "declined")),
            refused=tuple(r for r in responses if r.state == "refused"),
            notified=notified,
        )

    def responses_of(self, federation: str, rounds: Iterable[int], things: Iterable[str]) -> list[ResponseRecord]:
        """What came back from some clients in some rounds and any life: what counts, what does not, what is early."""
        kinds = ("", "#refused", *_EARLY.values())
        ways = [thing + kind for thing in sorted(things) for kind in kinds]
        keys = [_response_key(federation, round_number, way) for round_number in rounds for way in ways]
        found = read_items(self._dynamodb, [(self._responses, key) for key in keys])
        return list(self._reader.records(found[self._responses], ResponseRecord))

    def _step(self, before: RoundRecord, after: RoundRecord) -> "TransactWriteItemTypeDef":
        changes = {
            name: getattr(after, name)
            for name in after.__struct_fields__
            if name not in _IDENTITY and name not in FIXED_FIELDS and getattr(after, name) != getattr(before, name)
        }
        removed = [name for name, value in changes.items() if value is None]
        changed = {name: value for name, value in changes.items() if value is not None} | {"version": after.version}
        update = update_of(
            self._rounds,
            _key(before.federation, before.round),
            setting(changed, removed),
            changed | {"before": before.version, "opened_at": before.opened_at},
            # A federation that was made anew under the same name has rounds of the same numbers.
            "#version = :before AND opened_at = :opened_at",
        )
        update["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return {"Update": update}

    def _move_pointer(self, record: RoundRecord, *, last: bool) -> "TransactWriteItemTypeDef":
        pointer = after_round(record, last=last)
        values = pointer | {"before": record.round - 1, "life": record.life}
        condition = f"#round = :before AND {same('life', record.life)}"
        key: Item = {"federation": {"S": record.federation}}
        return {"Update": update_of(self._federations, key, setting(pointer), values, condition)}

    def _put(self, federation: str, round_number: int, name: str, item: Item) -> "PutTypeDef":
        """The put of an item of a round's partition."""
        return {"TableName": self._responses, "Item": _response_key(federation, round_number, name) | item}

    def _put_response(
        self, record: RoundRecord, response: ResponseRecord, replaces_another: bool
    ) -> "TransactWriteItemTypeDef":
        item = to_item(msgspec.structs.replace(response, life=record.life))
        put: Any = self._put(record.federation, record.round, response.thing, item)
        put["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if replaces_another:
            replaced = ("failed", "declined") if response.state == "accepted" else ("accepted", "failed", "declined")
            put["ConditionExpression"] = f"#state IN ({', '.join(f':{state}' for state in replaced)})"
            put["ExpressionAttributeNames"] = {"#state": "state"}
            put["ExpressionAttributeValues"] = {f":{state}": {"S": state} for state in replaced}
        else:
            put |= is_new("thing", record.life)
        return {"Put": put}

    def _explain(
        self, before: RoundRecord, new: Sequence[ResponseRecord], reasons: list[dict[str, Any]], first_response: int
    ) -> None:
        """Raises what the reasons of a cancelled transaction mean, if they are the ones that are foreseen."""
        known: dict[str, ResponseState] = {
            response.thing: reason["Item"]["state"]["S"] if reason.get("Item") else "accepted"
            for response, reason in zip(new, reasons[first_response:], strict=False)
            if reason.get("Code") == FAILED
        }
        if known:
            raise KnownResponsesError(known)
        if reasons and reasons[0].get("Code") == FAILED:
            item = reasons[0].get("Item")
            current = self._join(item) if item else self.get(before.federation, before.round)
            if current.opened_at == before.opened_at:
                raise StaleRoundError(current)
        if any(reason.get("Code") == FAILED for reason in reasons[:first_response]):
            raise LostFederationError(
                f"round {before.round} was of a federation {before.federation!r} that is gone, or was made anew since"
            )

    def _remember(self, federation: str, round_number: int, item: Mapping[str, Any]) -> None:
        while len(self._fixed_items) >= _FIXED_ITEMS_CACHED:
            del self._fixed_items[next(iter(self._fixed_items))]
        fixed = {name: value for name, value in item.items() if name in FIXED_FIELDS}
        self._fixed_items[federation, round_number] = _FixedItem(fixed, _opened_at(item))

    def _join(self, changing: Mapping[str, Any]) -> RoundRecord:
        """The whole round, from its changing and its fixed item."""
        federation, round_number = changing["federation"]["S"], int(changing["round"]["N"])
        fixed = self._fixed_items.get((federation, round_number))
        if fixed is None or fixed.opened_at != _opened_at(changing):
            key = _response_key(federation, round_number, "#plan")
            found = read_items(self._dynamodb, [(self._responses, key)])[self._responses]
            if not found:
                raise CorruptRecordError(f"round {round_number} of {federation!r} in DynamoDB has no plan")
            self._remember(federation, round_number, found[0])
            fixed = self._fixed_items[federation, round_number]
        return from_item({**changing, **fixed.item}, RoundRecord)


def _key(federation: str, round_number: int) -> Item:
    return {"federation": {"S": federation}, "round": to_attribute(round_number)}


def _response_key(federation: str, round_number: int, response: str) -> Item:
    return {"round": {"S": _partition(federation, round_number)}, "response": {"S": response}}


def _partition(federation: str, round_number: int) -> str:
    return f"{federation}#{round_number:08d}"


def _life_of(item: Mapping[str, Any]) -> str:
    life: str = item["life"]["S"] if "life" in item else ""
    return life


def _opened_at(item: Mapping[str, Any]) -> float:
    try:
        return float(item["opened_at"]["N"])
    except (KeyError, ValueError) as error:
        key = {name: item[name] for name in ("federation", "round") if name in item}
        raise CorruptRecordError(f"round {key} in DynamoDB does not say when it was opened") from error
