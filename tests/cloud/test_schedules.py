"""Both functions, whole, under the orders of events that a fleet and AWS may come up with.

Hypothesis plays devices, operator and AWS: it uploads, fails, aborts, delivers messages late, twice and in any order,
lets time pass, gives each invocation a clock that is wrong, and stops it at any of its calls to AWS: for a while, for
good, or with an error, before or after the call has had its effect. The functions' code is all real; AWS is a few
dictionaries, each call to which is atomic.
"""

import functools
import hashlib
import io
import itertools
import logging
import math
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import redirect_stdout, suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cloud.averager import handler as averager
from cloud.initiator import handler as initiator
from cloud.services import Services
from cloud.settings import Averaging, Federation, LocalTraining
from cloud.state.carry_over import assignment_of, given_up
from cloud.state.clients import Clients
from cloud.state.federations import Federations
from cloud.state.groups import Groups
from cloud.state.lifecycle import MAX_ATTEMPTS
from cloud.state.messaging import Notices
from cloud.state.models import Models
from cloud.state.records import RoundRecord
from cloud.state.rounds import Rounds
from protocol import names
from protocol.messages import (
    AbortRound,
    Hello,
    ModelHeader,
    ModelReference,
    OpenRound,
    Outcome,
    Report,
    RoundNotice,
    Timings,
    decode,
    encode,
)
from protocol.tensors import Header, dump, load

EXAMPLES, STEPS = 60, 50
"""Of each of the two kinds of queues: more than 5,000 steps in all."""

FEDERATION, ROUNDS = "grass", 3
STARTED_AT = 1_800_000_000.0
TRAINING = LocalTraining(batch_size=1, learning_rate=0.1, epochs=1)

Queue = Literal["rounds", "control", "updates", "shards"]
TIMEOUT_S = {"rounds": 60.0, "control": 120.0, "updates": 120.0, "shards": 120.0}
VISIBILITY_S = {"rounds": 70.0, "control": 130.0, "updates": 130.0, "shards": 130.0}
MAX_RECEIVES = 5
SCHEDULE_S = 300.0
"""As in cloud/template.yaml."""

NUMBER_BYTES = 4
"""With parts of this size the model, which has two numbers, is in two parts."""

FINAL_DELIVERIES = 40
"""How many messages may pass, once all is well again, before both rounds have ended, beside those that are under way
and two more that each of them may ask for."""

Fate = Literal["pause", "kill before", "kill after", "fail before", "fail after"]
Item = dict[str, dict[str, Any]]
Result = TypeVar("Result")

_real_time = time.time


class KilledError(BaseException):
    """An invocation's process ends here: none of its code runs any more."""


class CancelledError(ClientError):
    """A transaction of which a condition failed."""


class ConditionError(ClientError):
    """A single write whose condition failed."""


class DynamoDB:
    """Tables, the expressions that fedgrass uses, and the history of what the tables held."""

    KEYS: ClassVar = {
        "federations": ("federation",),
        "clients": ("federation", "thing"),
        "rounds": ("federation", "round"),
        "responses": ("round", "response"),
    }
    exceptions = SimpleNamespace(
        TransactionCanceledException=CancelledError, ConditionalCheckFailedException=ConditionError
    )

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[str, ...], Item]] = {table: {} for table in self.KEYS}
        self.history: list[tuple[str, Item | None, Item]] = []

    def get_item(self, *, TableName: str, Key: Item, **_: Any) -> dict[str, Any]:  # noqa: N803
        item = self.tables[TableName].get(self._key(TableName, Key))
        return {"Item": item} if item else {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        found = {
            table: [item for key in wanted["Keys"] if (item := self.tables[table].get(self._key(table, key)))]
            for table, wanted in RequestItems.items()
        }
        return {"Responses": found}

    def get_paginator(self, _operation: str) -> Any:
        def paginate(*, TableName: str, **query: Any) -> list[dict[str, Any]]:  # noqa: N803
            table = self.tables[TableName]
            wanted = {next(iter(value.values())) for value in query.get("ExpressionAttributeValues", {}).values()}
            return [{"Items": [table[key] for key in sorted(table) if not wanted or key[0] in wanted]}]

        return SimpleNamespace(paginate=paginate)

    def put_item(self, **put: Any) -> None:
        self._write_alone(put)

    def update_item(self, **update: Any) -> dict[str, Any]:
        return {"Attributes": self._write_alone(update)}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        writes = [write for item in TransactItems for write in item.values()]
        assert len({(write["TableName"], self._key_of(write)) for write in writes}) == len(writes) <= 100
        reasons = [{"Code": "None"} if self._holds(write) else self._reason(write) for write in writes]
        if any(reason["Code"] != "None" for reason in reasons):
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise CancelledError(answer, "TransactWriteItems")
        for item in TransactItems:
            for kind, write in item.items():
                if kind != "ConditionCheck":
                    self._write(write)

    def _key(self, table: str, item: Item) -> tuple[str, ...]:
        return tuple(next(iter(item[name].values())) for name in self.KEYS[table])

    def _key_of(self, write: dict[str, Any]) -> tuple[str, ...]:
        return self._key(write["TableName"], write.get("Item") or write["Key"])

    def _old(self, write: dict[str, Any]) -> Item | None:
        return self.tables[write["TableName"]].get(self._key_of(write))

    def _holds(self, write: dict[str, Any]) -> bool:
        return all(self._clause(write, c) for c in write.get("ConditionExpression", "").split(" AND ") if c)

    def _clause(self, write: dict[str, Any], clause: str) -> bool:
        if clause.startswith("("):
            return any(self._clause(write, one) for one in clause[1:-1].split(" OR "))
        item = self._old(write) or {}
        if match := re.fullmatch(r"attribute_(not_)?exists\((\w+)\)", clause):
            return (match[2] in item) != bool(match[1])
        if match := re.fullmatch(r"contains\((\S+), (\S+)\)", clause):
            name = write["ExpressionAttributeNames"][match[1]]
            return name in item and plain(write["ExpressionAttributeValues"][match[2]]) in plain(item[name])
        match = re.fullmatch(r"(\S+) (?:=|IN) \(?([^()]+)\)?", clause)
        assert match, clause
        name = write.get("ExpressionAttributeNames", {}).get(match[1], match[1])
        accepted = [plain(write["ExpressionAttributeValues"][operand]) for operand in match[2].split(", ")]
        return name in item and plain(item[name]) in accepted

    def _reason(self, write: dict[str, Any]) -> dict[str, Any]:
        old = self._old(write) if write.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else None
        return {"Code": "ConditionalCheckFailed"} | ({"Item": old} if old else {})

    def _write_alone(self, write: dict[str, Any]) -> Item:
        if not self._holds(write):
            raise ConditionError({"Error": {"Code": "ConditionalCheckFailedException"}}, "Write")
        return self._write(write)

    def _write(self, write: dict[str, Any]) -> Item:
        old = self._old(write)
        item = dict(write.get("Item") or old or write["Key"])
        parts = re.split(r"\b(SET|REMOVE|ADD) ", write.get("UpdateExpression", ""))[1:]
        for verb, assignments in zip(parts[::2], parts[1::2], strict=True):
            for assignment in assignments.strip().split(", "):
                alias, _, operand = assignment.replace(" = ", " ").partition(" ")
                name = write.get("ExpressionAttributeNames", {}).get(alias, alias)
                if verb == "REMOVE":
                    item.pop(name, None)
                    continue
                item[name] = write["ExpressionAttributeValues"][operand]
                if verb == "ADD" and old and name in old:
                    item[name] = {"N": str(int(old[name]["N"]) + int(item[name]["N"]))}
        self.tables[write["TableName"]][self._key_of(write)] = item
        self.history.append((write["TableName"], old, item))
        return item


def plain(attribute: dict[str, Any]) -> Any:
    (kind, value) = next(iter(attribute.items()))
    return float(value) if kind == "N" else value


def etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def joint_etag(parts: Sequence[bytes]) -> str:
    return f"{etag(b''.join(bytes.fromhex(etag(part)) for part in parts))}-{len(parts)}"


class S3:
    """A bucket that keeps versions."""

    exceptions = SimpleNamespace()

    def __init__(self) -> None:
        self.objects: dict[str, list[bytes]] = {}
        self.etags: dict[str, str] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.reads: Counter[str] = Counter()

    def create_multipart_upload(self, *, Key: str, **_: str) -> dict[str, str]:  # noqa: N803
        upload = f"upload-{len(self.uploads)}"
        self.uploads[upload] = Key, {}
        return {"UploadId": upload}

    def upload_part(self, *, Key: str, UploadId: str, PartNumber: int, Body: bytes, **_: str) -> None:  # noqa: N803
        self._parts(Key, UploadId)[PartNumber] = Body

    def complete_multipart_upload(
        self,
        *,
        Key: str,  # noqa: N803
        UploadId: str,  # noqa: N803
        MultipartUpload: Any,  # noqa: N803
        IfNoneMatch: str = "",  # noqa: N803
        **_: str,
    ) -> None:
        parts = self._parts(Key, UploadId)
        assert [part["PartNumber"] for part in MultipartUpload["Parts"]] == sorted(parts)
        whole = b"".join(parts[number] for number in sorted(parts))
        self.put_object(Key=Key, Body=whole, IfNoneMatch=IfNoneMatch)
        self.etags[Key] = joint_etag([parts[number] for number in sorted(parts)])
        self.uploads[UploadId] = "", {}

    def abort_multipart_upload(self, *, Key: str, UploadId: str, **_: str) -> None:  # noqa: N803
        self._parts(Key, UploadId)
        self.uploads[UploadId] = "", {}

    def get_paginator(self, operation: str) -> Any:
        def paginate(*, Prefix: str = "", Key: str = "", UploadId: str = "", **_: str) -> list[dict[str, Any]]:  # noqa: N803
            if operation == "list_parts":
                parts = self._parts(Key, UploadId)
                return [{"Parts": [{"PartNumber": n, "ETag": etag(parts[n])} for n in sorted(parts)]}]
            found = [{"Key": key, "UploadId": upload} for upload, (key, _) in self.uploads.items() if key == Prefix]
            return [{"Uploads": found}] if found else [{}]

        return SimpleNamespace(paginate=paginate)

    def _parts(self, key: str, upload: str) -> dict[int, bytes]:
        if self.uploads[upload][0] != key:
            raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "Parts")
        return self.uploads[upload][1]

    def put_object(self, *, Key: str, Body: bytes, IfNoneMatch: str = "", **_: str) -> dict[str, Any]:  # noqa: N803
        if IfNoneMatch and Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.objects.setdefault(Key, []).append(Body)
        return {"VersionId": str(len(self.objects[Key]))}

    def head_object(self, *, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        return {"ETag": self.etags[Key]}

    def get_object(self, *, Key: str, VersionId: str | None = None, Range: str = "", **_: str) -> dict[str, Any]:  # noqa: N803
        self.reads[Key] += 1
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        version = int(VersionId or len(self.objects[Key]))
        whole = self.objects[Key][version - 1]
        start, end = (int(text) for text in Range.removeprefix("bytes=").split("-")) if Range else (0, len(whole) - 1)
        data = whole[start : end + 1]
        answer = {"ContentLength": len(data), "ContentRange": f"bytes {start}-{end}/{len(whole)}"}
        return answer | {"Body": io.BytesIO(data), "VersionId": str(version)}


class Message(msgspec.Struct, eq=False):
    """A message in a queue; it can be received from `visible_at` on."""

    queue: Queue
    body: str
    visible_at: float
    receives: int = 0


class SQS:
    """Queues that deliver each message at least once."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def send_message(self, *, QueueUrl: Queue, MessageBody: str, DelaySeconds: int) -> None:  # noqa: N803
        assert 0 <= DelaySeconds <= 900
        self._world.messages.append(Message(QueueUrl, MessageBody, self._world.now + DelaySeconds))


class IoT:
    """What was ever published of rounds; by thing the last round that was assigned, and that was withdrawn; and the
    things whose shadow has failed to take an update."""

    def __init__(self) -> None:
        self.published: set[tuple[int, str]] = set()
        self.assigned: Counter[str] = Counter()
        self.withdrawn: Counter[str] = Counter()
        self.untold: set[str] = set()

    def publish(self, *, payload: bytes, **_: Any) -> None:
        notice = decode(payload, RoundNotice)
        self.published.add((notice.round, notice.state))

    def update_thing_shadow(self, *, thingName: str, payload: bytes, **_: Any) -> None:  # noqa: N803
        desired = msgspec.json.decode(payload)["state"]["desired"]
        assigned, withdrawn = desired.get("assignment", {"round": 0})["round"], desired.get("withdrawn", 0)
        self.assigned[thingName] = max(self.assigned[thingName], assigned)
        self.withdrawn[thingName] = max(self.withdrawn[thingName], withdrawn)


class Stoppable:
    """An AWS client each call of which the test may stop, fail, or let be the invocation's last."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return current().call(functools.partial(found, *arguments, **named))
            except Exception:
                if name == "update_thing_shadow":
                    self._client.untold.add(named["thingName"])
                raise

        return call


class AtOnce(Executor):
    """Runs what is submitted on the thread that submits it, so that a schedule can be repeated."""

    def submit(self, fn: Callable[..., Result], /, *arguments: Any, **named: Any) -> "Future[Result]":
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class Invocation(threading.Thread):
    """One invocation of a function. It runs only while the test waits in `go_on`."""

    aws_request_id: str

    def __init__(self, world: "World", queue: Queue, batch: list[Message], clock_s: float) -> None:
        super().__init__(daemon=True)
        self.aws_request_id = world.next_id("invocation")
        self.services = world.environment(queue)
        self.batch = {world.next_id("message"): message for message in batch}
        self.queue: Queue = queue
        self.ends_at = world.now + TIMEOUT_S[queue]
        self.ended = self.killed = False
        self._world, self._clock_s = world, clock_s
        self._faults = 0
        self._calls = 0
        self._fate: Fate = "pause"
        self._resumed: SimpleQueue[None] = SimpleQueue()
        self._stopped: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None

    def time(self) -> float:
        return self._world.now + self._clock_s

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends_at - self._world.now) * 1000)

    def go_on(self, calls: int, fate: Fate) -> None:
        """Let it make some calls, and then meet its fate."""
        self._calls, self._fate = calls, fate
        if self.ident is None:
            self.start()
        else:
            self._resumed.put(None)
        self._stopped.get(timeout=60)

    def run(self) -> None:
        failed: set[str] = set()
        records = [
            {
                "messageId": name,
                "body": message.body,
                "attributes": {"ApproximateReceiveCount": str(message.receives)},
            }
            for name, message in self.batch.items()
        ]
        try:
            if self.queue != "rounds":
                answer = averager.handle({"Records": records}, self, self.services)
            else:
                answer = initiator.handle({"Records": records} if records else {"kind": "wake"}, self, self.services)
            failed = {failure["itemIdentifier"] for failure in answer.get("batchItemFailures", [])}
            assert self._faults or not failed, "a message failed although nothing was the matter"
        except KilledError:
            failed, self.killed = set(self.batch), True
        except BaseException as error:
            failed, self.error = set(self.batch), None if self._faults and isinstance(error, ClientError) else error
        finally:
            self._world.done({message for name, message in self.batch.items() if name not in failed})
            self.ended = True
            self._stopped.put(None)

    def call(self, operation: Callable[[], Result]) -> Result:
        while self._calls == 0 and self._fate == "pause":
            self._stopped.put(None)
            self._resumed.get()
        if self._calls:
            self._calls -= 1
            return operation()
        fate = self._fate
        self._world.faults += 1
        if fate in ("kill after", "fail after"):
            with suppress(ClientError):
                operation()
        if fate in ("kill before", "kill after"):
            raise KilledError
        self._faults += 1
        self._fate = "pause"
        raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": fate}}, "Call")


def current() -> Invocation:
    invocation = threading.current_thread()
    assert isinstance(invocation, Invocation)
    return invocation


def clock() -> float:
    thread = threading.current_thread()
    return thread.time() if isinstance(thread, Invocation) else _real_time()


class World:
    """AWS: a time, four tables, a bucket, two queues, and the invocations under way."""

    def __init__(self, package: Path) -> None:
        self.now = STARTED_AT
        self.part_bytes = 1 << 20
        self.dynamodb, self.s3, self.iot = DynamoDB(), S3(), IoT()
        self.messages: list[Message] = []
        self.invocations: list[Invocation] = []
        self.faults = 0
        self._package = package
        self._idle: dict[Queue, list[Services]] = {"rounds": [], "control": [], "updates": [], "shards": []}
        self._ids: Counter[str] = Counter()

    def next_id(self, kind: str) -> str:
        self._ids[kind] += 1
        return f"{kind}-{self._ids[kind]}"

    def environment(self, queue: Queue) -> Services:
        """An execution environment that an earlier invocation left, or a new one."""
        if self._idle[queue]:
            return self._idle[queue].pop()
        dynamodb: Any = Stoppable(self.dynamodb)
        s3: Any = Stoppable(self.s3)
        iot: Any = Stoppable(self.iot)
        sqs: Any = Stoppable(SQS(self))
        at_once = AtOnce()
        return Services(
            federations=Federations(dynamodb, "federations"),
            clients=Clients(dynamodb, "clients"),
            groups=Groups(lambda: iot),
            rounds=Rounds(dynamodb, "rounds", "responses", "federations"),
            models=Models(s3, "bucket"),
            notices=Notices(iot, sqs, "rounds", "control", "updates", "shards", at_once),
            parallel=at_once,
            calls=Counter(),
            waited_s={},
            package=self._package,
            part_bytes=self.part_bytes,
        )

    def invoke(self, queue: Queue, batch: list[Message], clock_s: float, calls: int, fate: Fate) -> None:
        for message in batch:
            message.visible_at = self.now + VISIBILITY_S[queue]
            message.receives += 1
        invocation = Invocation(self, queue, batch, clock_s)
        self.invocations.append(invocation)
        self.go_on(invocation, calls, fate)

    def go_on(self, invocation: Invocation, calls: int, fate: Fate) -> None:
        invocation.go_on(calls, fate)
        assert invocation.ended or (calls, fate) != TO_ITS_END, "an invocation goes on and on"
        if invocation.ended:
            invocation.join()
            self.invocations.remove(invocation)
            if invocation.error is not None:
                raise invocation.error
            if not invocation.killed:
                self._idle[invocation.queue].append(invocation.services)

    def done(self, messages: set[Message]) -> None:
        self.messages = [message for message in self.messages if message not in messages]

    def wait_until(self, then: float) -> None:
        """Let time pass; Lambda ends the invocations that take too long."""
        self.now = max(self.now, then)
        for invocation in list(self.invocations):
            if invocation.ends_at <= self.now:
                self.go_on(invocation, 0, "kill before")


TO_ITS_END: tuple[int, Fate] = (1000, "pause")
FATES: list[Fate] = ["pause", "kill before", "kill after", "fail before", "fail after"]
HOW = st.one_of(st.just(TO_ITS_END), st.tuples(st.integers(0, 15), st.sampled_from(FATES)))
CLOCK_S = st.sampled_from([0.0, -5.0, 5.0, 1.0])
ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "deliver": {"first": st.integers(0, 9), "size": st.sampled_from([1, 3]), "clock_s": CLOCK_S, "how": HOW},
    "go_on": {"which": st.integers(0, 3), "how": HOW},
    "answer": {
        "clients": st.sampled_from([[0], [1], [2], [0, 1, 2]]),
        "value": st.integers(-3, 7),
        "back": st.sampled_from([0, 0, 0, 1]),
    },
    "answer_late": {"value": st.integers(-2, 7)},
    "wait": {"seconds": st.sampled_from([None, 16.0, 140.0])},
    "repeat": {"which": st.integers(0, 9)},
    "lose": {"which": st.integers(0, 9)},
    "wake": {"clock_s": CLOCK_S, "how": HOW},
    "abort": {},
}
ACTIONS = {name: st.fixed_dictionaries(arguments) for name, arguments in ARGUMENTS.items()}
SETTINGS = st.builds(
    Federation,
    name=st.just(FEDERATION),
    training=st.just(TRAINING),
    rounds=st.just(ROUNDS),
    target=st.sampled_from(["100%", "50%", "1%"]),
    quorum=st.sampled_from(["1%", "50%", "1%", "100%"]),
    completion=st.sampled_from(["target", "custom"]),
    deadline_s=st.sampled_from([60.0, 1000.0]),
    extension_s=st.sampled_from([0.0, 60.0, 500.0]),
    max_staleness=st.sampled_from([0, 2, 1]),
    averaging=st.builds(
        Averaging,
        rule=st.sampled_from(["weighted", "mean"]),
        carry_over=st.booleans(),
        shards=st.sampled_from([2, 2, None]),
    ),
)


PART_BYTES = st.sampled_from([NUMBER_BYTES, NUMBER_BYTES, 1 << 20])


class Schedules(RuleBasedStateMachine):
    """Two rounds of a federation. `reliable` queues deliver everything in the end; others give up after some receives,
    and what then was lost, the schedule has to find."""

    def __init__(self, package: Path, seen: Counter[str], *, reliable: bool) -> None:
        super().__init__()
        self.world = World(package)
        self.reliable = reliable
        self.seen = seen
        dynamodb: Any = self.world.dynamodb
        self.federations = Federations(dynamodb, "federations")
        self.rounds = Rounds(dynamodb, "rounds", "responses", "federations")
        self.checked = 0
        self.last_clock_s = 0.0

    @initialize(clients=st.integers(1, 3), chosen=SETTINGS, part_bytes=PART_BYTES)
    def begin(self, clients: int, chosen: Federation, part_bytes: int = 1 << 20) -> None:
        self.world.part_bytes = part_bytes
        dynamodb: Any = self.world.dynamodb
        s3: Any = self.world.s3
        model = Models(s3, "bucket").put_new(names.model_key(FEDERATION, 0), model_file(0, [1.0, -2.0]))
        self.federations.create(chosen, model, "s")
        self.federations.change_status(FEDERATION, "running", ("ready",))
        hello = Hello(component_version="1.0.0", architecture="aarch64", memory_bytes=1, cpu_count=1)
        for client in range(clients):
            Clients(dynamodb, "clients").greet(FEDERATION, thing(client), hello, STARTED_AT)
        self.send("rounds", OpenRound(federation=FEDERATION, round=1))

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.possible()))
        getattr(self, name)(**data.draw(ACTIONS[name], label=name))
        self.seen["step"] += 1

    def possible(self) -> list[str]:
        """What may happen now, as often as it should."""
        record, messages = self.current(), self.world.messages
        often = {
            "wait": 4,
            "deliver": 12 * bool(self.visible()),
            "go_on": 6 * bool(self.world.invocations),
            "answer": 9 * (record is not None and record.status == "open") + (record is not None),
            "answer_late": 40 * bool(busy(record)),
            "repeat": 2 * bool(messages),
            "lose": bool(messages) and not self.reliable,
            "wake": 2 * (not self.reliable),
            "abort": (record is not None) + 3 * (record is not None and record.status == "averaging"),
        }
        return [name for name, times in often.items() for _ in range(times)]

    def deliver(self, first: int, size: int, clock_s: float, how: tuple[int, Fate]) -> None:
        visible = self.visible()
        first %= len(visible)
        queue = visible[first].queue
        batch = [message for message in visible[first:] if message.queue == queue][:size]
        self.last_clock_s = clock_s
        self.world.invoke(queue, batch, clock_s, *how)

    def go_on(self, which: int, how: tuple[int, Fate]) -> None:
        self.world.go_on(self.world.invocations[which % len(self.world.invocations)], *how)

    def answer(self, clients: list[int], value: int, back: int = 0) -> None:
        """Clients upload updates to their assignments, or to one so many rounds `back`, 0 is none; or say that none
        will come."""
        for client in clients:
            number = max(1, self.assignment(client) - back)
            if value < 0:
                phase: Literal["failed", "declined"] = "failed" if value == -1 else "declined"
                shadow = names.shadow_name(FEDERATION)
                self.send("updates", Outcome(thing=thing(client), shadow=shadow, round=number, phase=phase))
                continue
            key = names.update_key(FEDERATION, number, thing(client))
            version = self.world.s3.put_object(Bucket="bucket", Key=key, Body=self.update(client, number, value))
            at = datetime.fromtimestamp(self.world.now, UTC).isoformat()
            arrival = {"eventTime": at, "s3": {"object": {"key": key, "versionId": version["VersionId"]}}}
            self.send("updates", {"Records": [arrival]})

    def wait(self, seconds: float | None) -> None:
        """Let time pass; None is until there is something to deliver."""
        next_at = min((message.visible_at for message in self.world.messages), default=self.world.now)
        self.world.wait_until(next_at if seconds is None else self.world.now + seconds)

    def repeat(self, which: int) -> None:
        """A message is delivered once more than it should be."""
        message = self.world.messages[which % len(self.world.messages)]
        self.world.messages.append(Message(message.queue, message.body, self.world.now))

    def lose(self, which: int) -> None:
        """A message is given up."""
        del self.world.messages[which % len(self.world.messages)]

    def wake(self, clock_s: float, how: tuple[int, Fate]) -> None:
        """The schedule wakes the initiator."""
        self.world.invoke("rounds", [], clock_s, *how)

    def abort(self) -> None:
        """An operator aborts the round."""
        self.send("control", AbortRound(federation=FEDERATION, round=self.number, reason="an operator's"))

    def visible(self) -> list[Message]:
        return [message for message in self.world.messages if message.visible_at <= self.world.now]

    @property
    def number(self) -> int:
        """Of the round that is under way, or next."""
        federation = self.world.dynamodb.tables["federations"][FEDERATION,]
        return min(ROUNDS, int(federation["round"]["N"]) + 1)

    def current(self) -> RoundRecord | None:
        number = self.number
        exists = (FEDERATION, str(number)) in self.world.dynamodb.tables["rounds"]
        return self.rounds.get(FEDERATION, number) if exists else None

    def answer_late(self, value: int) -> None:
        """Those answer that the open round waits for since an earlier one."""
        self.answer(busy(self.current()), value)

    def assignment(self, client: int) -> int:
        """The round of a client's last assignment; of one that has none, the present one."""
        for number in range(self.number, 0, -1):
            if (FEDERATION, str(number)) in self.world.dynamodb.tables["rounds"]:
                assigned_in = assignment_of(self.rounds.get(FEDERATION, number), thing(client))
                if assigned_in is not None:
                    return assigned_in
        return self.number

    def send(self, queue: Queue, message: Any) -> None:
        self.world.messages.append(Message(queue, msgspec.json.encode(message).decode(), self.world.now))

    def update(self, client: int, number: int, value: int) -> bytes:
        if not value or (FEDERATION, str(number)) not in self.world.dynamodb.tables["rounds"]:
            return b"no update"
        record = self.rounds.get(FEDERATION, number)
        report = Report(
            federation=FEDERATION,
            round=record.round,
            thing=thing(client),
            base=record.base.sha256,
            encoding="float32",
            examples=1 + value % 3,
            steps=1,
            timings=Timings(accepted_at=1.0, downloaded_at=2.0, trained_at=3.0, uploading_at=4.0, train_s=1.0),
        )
        return dump({"w": np.array([value / 7, client / 3], np.float32)}, {"w": "F32"}, encode(report))

    @invariant()
    def all_is_as_promised(self) -> None:
        history = self.world.dynamodb.history
        changed: set[int] = set()
        for table, old, new in history[self.checked :]:
            if table == "rounds":
                changed.add(int(new["round"]["N"]))
            if table in CHECKS and old is not None:
                before, after = ({name: plain(value) for name, value in item.items()} for item in (old, new))
                self.seen[CHECKS[table](before, after)] += 1
        self.checked = len(history)
        for number in changed:
            self.check_round(self.rounds.get(FEDERATION, number))
        record = self.current()
        if record is not None and record.round > 1 and self.reliable:
            self.check_leftover(self.rounds.get(FEDERATION, record.round - 1))
        for member in record.cohort if record is not None and record.status == "open" else ():
            if member.assigned_in is not None:
                assert self.world.iot.withdrawn[member.thing] < member.assigned_in, "it waits for who was sent away"
                assert self.world.iot.assigned[member.thing] == member.assigned_in, "it waits for who was never told"

    def check_leftover(self, ended: RoundRecord) -> None:
        """Before the next round opens, all whom no round waits for are told so; but for those that have uploaded, if
        only something that was refused, and those whose shadow did not take it, which holds up nobody else."""
        answers = self.rounds.responses(FEDERATION, ended.round)
        uploaded = {response.thing for response in answers.refused}
        for member in given_up(ended, answers):
            told = self.world.iot.withdrawn[member.thing] >= (member.assigned_in or ended.round)
            assert told or member.thing in uploaded | self.world.iot.untold, "nobody told it that it may stop"

    def check_round(self, record: RoundRecord) -> None:
        answers = self.rounds.responses(FEDERATION, record.round)
        assert record.accepted == len(answers.accepted)
        assert record.failed == len(answers.failed)
        answered = [response.thing for response in (*answers.accepted, *answers.failed)]
        assert len(answered) == len(set(answered))
        limit = record.settings.max_staleness
        for name in answered:
            assigned_in = assignment_of(record, name)
            assert assigned_in is not None
            assert record.round - limit <= assigned_in <= record.round
            self.seen["late"] += assigned_in < record.round
        assert all(r.report and r.report.round == assignment_of(record, r.thing) for r in answers.accepted)
        assert limit == 0 or all(carried.age <= limit for carried in record.carried)
        federation = self.federations.get(FEDERATION)
        ended = record.status in ("closed", "aborted")
        assert ended == (record.round <= federation.round)
        assert (record.model is not None) == (record.status == "closed")
        assert (record.lease_owner is not None) == (record.status == "averaging")
        assert (record.reason is not None) == (record.status == "aborted")
        if record.round == federation.round:
            assert federation.model == (record.model or record.base)
            assert (federation.status == "finished") == (record.round == ROUNDS)
        if record.model is not None:
            self.check_model(record, record.model)

    def check_model(self, record: RoundRecord, model: ModelReference) -> None:
        """Every write of the round's model, by whomever, was the weighted mean of all that counts."""
        sources = {r.thing: r for r in self.rounds.responses(FEDERATION, record.round).accepted}
        for carried in record.carried:
            for response in self.rounds.responses(FEDERATION, carried.round).accepted:
                if response.thing == carried.thing:
                    sources.setdefault(carried.thing, response)
        sums, total = [0.0, 0.0], 0.0
        for name in sorted(sources):
            response = sources[name]
            assert response.version_id is not None
            assert response.report is not None
            number = response.report.round
            versions = self.world.s3.objects[names.update_key(FEDERATION, number, name)]
            _, delta = values(versions[int(response.version_id) - 1])
            examples = response.report.examples if record.settings.averaging.rule == "weighted" else 1
            weight = examples / math.sqrt(record.round - number + 1)
            sums = [sum_ + weight * value for sum_, value in zip(sums, delta, strict=True)]
            total += weight
        _, base = values(self.world.s3.objects[record.base.key][0])
        expected = model_file(record.round, [b + s / total for b, s in zip(base, sums, strict=True)])
        assert model.key == names.model_key(FEDERATION, record.round)
        assert set(self.world.s3.objects[model.key]) == {expected}

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.all_ends_once_all_is_well()
        for invocation in list(self.world.invocations):
            self.world.go_on(invocation, 0, "kill before")

    def all_ends_once_all_is_well(self) -> None:
        """What is under way goes on or has died; nothing else goes wrong; the rounds end, and soon."""
        for position, invocation in enumerate(list(self.world.invocations)):
            self.world.go_on(invocation, *(TO_ITS_END if position % 2 else (0, "kill before")))
        deliveries, pending = 0, len(self.world.messages)
        next_wake = self.world.now + SCHEDULE_S
        while self.federations.get(FEDERATION).status != "finished" or self.world.messages:
            deliveries += 1
            assert deliveries <= 3 * pending + FINAL_DELIVERIES
            message = min(self.world.messages, key=lambda m: m.visible_at, default=None)
            if self.reliable:
                assert message is not None, "nothing is under way, and nothing will ever happen"
            elif message is None or message.visible_at >= next_wake:
                self.world.wait_until(next_wake)
                self.world.invoke("rounds", [], self.last_clock_s, *TO_ITS_END)
                next_wake += SCHEDULE_S
                continue
            self.world.wait_until(message.visible_at)
            self.world.invoke(message.queue, [message], self.last_clock_s, *TO_ITS_END)
        self.all_is_as_promised()
        last = self.rounds.get(FEDERATION, ROUNDS)
        assert not self.reliable or (last.round, last.status) in self.world.iot.published


def busy(record: RoundRecord | None) -> list[int]:
    """The clients that a round waits for since an earlier one, if it is open."""
    if record is None or record.status != "open":
        return []
    late = {member.thing for member in record.cohort if member.assigned_in is not None}
    return [client for client in range(3) if thing(client) in late]


def check_round_change(old: dict[str, Any], new: dict[str, Any]) -> str:
    """A round moves along the edges of its life, a version at a time, and not at all once it has ended."""
    different = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    if old["version"] == new["version"]:
        assert different <= {"notified_at", "refused"}
        return "noted"
    assert new["version"] == old["version"] + 1
    edges = {"open": {"open", "averaging", "aborted"}, "averaging": {"averaging", "closed", "aborted"}}
    assert new["status"] in edges[old["status"]]
    if old["status"] != "open":
        assert not different & {"accepted", "failed", "deadline", "extended"}
    assert new["accepted"] >= old["accepted"]
    assert old["attempts"] <= new["attempts"] <= MAX_ATTEMPTS
    if "deadline" in different:
        assert (old["extended"], new["extended"], new["status"]) == (False, True, "open")
        return "extended"
    if old["status"] == new["status"] == "averaging":
        if "work" in different:
            assert "attempts" not in different
            return "worked on"
        return "taken over" if "attempts" in different else "let go"
    return f"{old['status']} to {new['status']}"


def check_response_change(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What counts, counts for good; only a failure may be made up for."""
    if "#" in old["response"]:
        return "noted"
    assert old["state"] in ("failed", "declined")
    assert new["state"] == "accepted"
    return "recovered"


def check_pointer_change(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The pointer moves from round to round, once each, and the model only with it."""
    assert new["round"] == old["round"] + 1 or (new["round"], new["model"]) == (old["round"], old["model"])
    return "moved"


CHECKS = {"rounds": check_round_change, "responses": check_response_change, "federations": check_pointer_change}


def thing(client: int) -> str:
    return f"device-{client}"


def model_file(number: int, w: list[float]) -> bytes:
    return dump({"w": np.array(w, np.float32)}, {"w": "F32"}, encode(ModelHeader(federation=FEDERATION, round=number)))


def values(file: bytes) -> tuple[Header, list[float]]:
    header, arrays = load(file)
    return header, arrays["w"].tolist()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The functions' package, with a custom rule; and what makes an invocation's thread its whole world."""
    rules = tmp_path / "federations" / FEDERATION
    rules.mkdir(parents=True)
    (rules / "policies.py").write_text("def is_complete(current):\n    return current.accepted >= 2\n")
    monkeypatch.setattr(time, "time", clock)
    root = logging.getLogger()
    level = root.level
    logging.disable(logging.CRITICAL)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # the functions' metrics
        yield tmp_path
    logging.disable(logging.NOTSET)
    root.setLevel(level)


@pytest.mark.parametrize("reliable", [True, False], ids=["messages are never lost", "messages may be lost"])
def test_whatever_happens_no_promise_is_broken_and_every_round_ends(package: Path, reliable: bool) -> None:
    seen: Counter[str] = Counter()
    machine: Any = functools.partial(Schedules, package, seen, reliable=reliable)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    assert seen["step"] >= 2_500
    assert seen["worked on"] >= 5  # by several invocations together
    assert seen["late"] >= 5  # responses to assignments of earlier rounds


SCENES_OF_SHARDS = ["last update", "first shard", "last shard"]
SCENES = ["opening", "last update", "last failure", "all failed", "deadline", "extension", "extended deadline", "abort"]
SLOW = Federation(name=FEDERATION, training=TRAINING, rounds=ROUNDS, quorum="50%", deadline_s=800.0, extension_s=800.0)
SHARDED = msgspec.structs.replace(SLOW, averaging=Averaging(shards=2))
BUFFERED = msgspec.structs.replace(SLOW, target=1, max_staleness=1)
SOON_S = 300.0
"""Two redeliveries, and the lease between them."""


def play(machine: Schedules, scene: str) -> float:
    """A slow round of two clients, up to the delivery that the scene is named for. Returns at what second of the round
    its consequence is due."""

    def deliver() -> None:
        machine.wait(None)
        machine.deliver(0, 1, 0.0, TO_ITS_END)

    if scene != "opening":
        deliver()
    match scene:
        case "last update" | "last failure" | "first shard" | "last shard":
            machine.answer([0], 1)
            deliver()
            machine.answer([1], -1 if scene == "last failure" else 2)
            for _ in range({"first shard": 1, "last shard": 2}.get(scene, 0)):
                deliver()
        case "all failed":
            machine.answer([0], -1)
            deliver()
            machine.answer([1], -2)
        case "deadline":
            machine.answer([0], 1)
            deliver()
            return SLOW.deadline_s
        case "extended deadline":
            deliver()
        case "abort":
            machine.abort()
    ends_late = scene in ("opening", "extension", "extended deadline")
    return SLOW.deadline_s + SLOW.extension_s if ends_late else 0.0


@pytest.mark.parametrize(
    ("scene", "chosen"), [*((scene, SLOW) for scene in SCENES), *((scene, SHARDED) for scene in SCENES_OF_SHARDS)]
)
def test_a_delivery_that_is_cut_off_at_any_call_is_soon_made_up_for(
    package: Path, scene: str, chosen: Federation
) -> None:
    for calls, fate in ((calls, fate) for calls in itertools.count() for fate in FATES[1:]):
        machine = Schedules(package, Counter(), reliable=True)
        machine.begin(2, chosen, NUMBER_BYTES if chosen is SHARDED else 1 << 20)
        due_s = play(machine, scene)
        machine.wait(None)
        machine.deliver(0, 1, 0.0, (calls, fate))
        if not machine.world.faults:
            assert calls > 2
            return
        while machine.number == 1 or machine.current() is None:
            assert machine.world.messages, f"{fate} call {calls} was the end of it all"
            machine.wait(None)
            machine.deliver(0, 1, 0.0, TO_ITS_END)
            machine.all_is_as_promised()
        assert machine.world.now - STARTED_AT <= due_s + SOON_S, f"{fate} call {calls} was made up for late"
        machine.teardown()
        assert bool(machine.seen["worked on"]) == (chosen is SHARDED)


@pytest.mark.parametrize("when", ["between two rounds", "in the next round", "in the next round, put off"])
def test_a_late_update_counts_once_though_its_delivery_is_cut_off_at_any_call(package: Path, when: str) -> None:
    for calls, fate in ((calls, fate) for calls in itertools.count() for fate in FATES[1:]):
        machine = Schedules(package, Counter(), reliable=True)
        machine.begin(2, msgspec.structs.replace(BUFFERED, max_staleness=2))
        machine.deliver(0, 1, 0.0, TO_ITS_END)
        machine.answer([0], 1)
        machine.deliver(0, 1, 0.0, TO_ITS_END)
        if when == "in the next round":
            machine.deliver(0, 1, 0.0, TO_ITS_END)
        assert (machine.number, machine.current() is None) == (2, when != "in the next round")
        machine.answer([1], 2)
        machine.world.messages.insert(0, machine.world.messages.pop())  # before that which opens the next round
        late_first = 0
        if when == "in the next round, put off":
            machine.deliver(0, 1, 0.0, TO_ITS_END)
            machine.deliver(0, 1, 0.0, TO_ITS_END)
            machine.wait(1.0)
            assert machine.current() is not None
            late_first = next(index for index, message in enumerate(machine.visible()) if "put_off" in message.body)
        machine.deliver(late_first, 1, 0.0, (calls, fate))
        undisturbed = not machine.world.faults
        while machine.number == 2:
            assert machine.world.messages, f"{fate} call {calls} was the end of it all"
            machine.wait(None)
            machine.deliver(0, 1, 0.0, TO_ITS_END)
            machine.all_is_as_promised()
        (late,) = machine.rounds.responses(FEDERATION, 2).accepted
        assert late.report is not None
        assert (late.thing, late.report.round, machine.rounds.get(FEDERATION, 2).status) == (thing(1), 1, "closed")
        took_s = machine.world.now - STARTED_AT
        assert took_s <= (5.0 if undisturbed else SOON_S), f"{fate} call {calls} was made up for late"
        machine.teardown()
        if undisturbed:
            assert calls > 2
            return


@pytest.mark.parametrize("fate", ["pause", "kill before", "kill after"])
def test_whoever_is_asked_to_train_is_waited_for_though_the_round_ends_before_all_are_told(
    package: Path, fate: Fate
) -> None:
    for calls in itertools.count():
        machine = Schedules(package, Counter(), reliable=True)
        machine.begin(2, BUFFERED)
        machine.deliver(0, 1, 0.0, (calls, fate))
        cut_off = bool(machine.world.invocations or machine.world.faults)
        if machine.current() is not None:
            machine.answer([0], 1)
            machine.wait(None)
            machine.deliver(0, 1, 0.0, TO_ITS_END)
            assert machine.number == 2
        for invocation in list(machine.world.invocations):
            machine.world.go_on(invocation, *TO_ITS_END)
        while machine.current() is None:
            machine.wait(None)
            machine.deliver(0, 1, 0.0, TO_ITS_END)
            machine.all_is_as_promised()
        if machine.number == 2:
            cohort = {m.thing: m.assigned_in for m in machine.rounds.get(FEDERATION, 2).cohort}
            assert cohort == {thing(0): None, thing(1): 1}
        machine.teardown()
        if not cut_off:
            assert calls > 5
            return


def test_an_update_that_waits_for_the_next_round_is_fetched_when_it_comes_and_when_it_counts(package: Path) -> None:
    machine = Schedules(package, Counter(), reliable=True)
    machine.begin(2, BUFFERED)
    machine.deliver(0, 1, 0.0, TO_ITS_END)
    machine.answer([0], 1)
    machine.deliver(0, 1, 0.0, TO_ITS_END)
    machine.federations.change_status(FEDERATION, "paused", ("running",))
    machine.answer([1], 2)
    update = names.update_key(FEDERATION, 1, thing(1))
    while machine.world.now - STARTED_AT < SLOW.deadline_s / 2:
        machine.wait(None)
        machine.deliver(0, 10, 0.0, TO_ITS_END)
    assert [decode(m.body, OpenRound) for m in machine.world.messages if m.queue == "rounds"] == []
    assert machine.world.s3.reads[update] == 1

    machine.federations.change_status(FEDERATION, "running", ("paused",))
    machine.send("rounds", OpenRound(federation=FEDERATION, round=2))
    while machine.number == 2:
        machine.wait(None)
        machine.deliver(0, 10, 0.0, TO_ITS_END)
    assert [r.thing for r in machine.rounds.responses(FEDERATION, 2).accepted] == [thing(1)]
    assert machine.world.s3.reads[update] == 2
    machine.teardown()


def test_junk_for_the_first_of_very_many_rounds_costs_a_few_calls(package: Path) -> None:
    machine = Schedules(package, Counter(), reliable=True)
    machine.begin(1, msgspec.structs.replace(BUFFERED, rounds=10_000))
    machine.deliver(0, 1, 0.0, TO_ITS_END)
    machine.answer([0], 1)
    machine.deliver(0, 1, 0.0, TO_ITS_END)
    tables = machine.world.dynamodb.tables
    first = tables["rounds"][FEDERATION, "1"]
    tables["rounds"][FEDERATION, "9000"] = first | {"round": {"N": "9000"}}
    plan = tables["responses"][f"{FEDERATION}#00000001", "#plan"]
    tables["responses"][f"{FEDERATION}#00009000", "#plan"] = plan
    tables["federations"][(FEDERATION,)] = tables["federations"][(FEDERATION,)] | {"round": {"N": "9000"}}
    machine.world.messages.clear()
    machine.answer([0], 0, back=8999)
    machine.deliver(0, 1, 0.0, (20, "pause"))
    assert machine.world.invocations == []
    refused = machine.rounds.responses(FEDERATION, 1).refused
    assert [r.reason for r in refused] == ["too old: assigned 9000 rounds ago; max_staleness is 1"]
