"""Devices of a federation as the functions see them: shadows that are read, updates that are put."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.settings import amount_of
from cloud.state.records import ClientRecord, ResponseRecord, RoundRecord, to_attribute
from protocol import names
from protocol.messages import (
    AbortRound,
    Assignment,
    CheckRound,
    ModelHeader,
    ModelReference,
    Report,
    encode,
)
from protocol.tensors import Array, dump, load
from sandbox.embedded_aws import EmbeddedAws
from sandbox.polling import eventually
from sandbox.simulated_clients import SimulatedDevices
from tests.cloud.examples import federation, report, round_record, update_of

DTYPES = {"w": "F32", "s": "BF16", "n": "I64"}
INITIAL: dict[str, NDArray[Any]] = {
    "w": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "<f4"),
    "s": np.array(0x3F80, "<u2"),  # 1.0
    "n": np.array(10, "<i8"),
}


def delta(value: float) -> dict[str, Array]:
    """An update that changes every number of the model by `value`."""
    return {"w": np.full((2, 3), value, "<f4"), "s": np.array(value, "<f4"), "n": np.array(round(value), "<i8")}


@contextmanager
def attributes_of(aws: EmbeddedAws, queue: str, changes: Mapping[str, str]) -> Iterator[None]:
    """Set attributes of a queue for a while."""
    sqs = aws.client("sqs")
    before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=list(changes))["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=changes)
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=before)


class SimulatedFederation(SimulatedDevices):
    """One federation on the embedded AWS, whose devices do what a test tells them."""

    # ---- Before

    def create(
        self,
        things: Iterable[str],
        model: Mapping[str, Array] = INITIAL,
        dtypes: Mapping[str, str] = DTYPES,
        buffers: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        """Make the federation, with these things as its clients."""
        about = ModelHeader(federation=self.name, round=0, buffers=buffers)
        record = self.make(federation(name=self.name, **settings), dump(model, dtypes, encode(about), buffers))
        assert record.status == "ready"
        for thing in things:
            self.register(thing)
            self.greet(thing)

    def stop(self) -> None:
        """Keep wake-ups from it."""
        self.operations.federations.change_status(self.name, "finished", ("ready", "running", "paused", "finished"))

    def expel(self, thing: str) -> None:
        """Expel a thing from its rounds."""
        federations = self.operations.federations
        federations.set_expelled(federations.get(self.name), thing, expelled=True)

    def claim(self, *things: str, **changes: Any) -> RoundRecord:
        """What is left of an initiator that was cut off right after it had claimed round 1."""
        self.operations.federations.change_status(self.name, "running", ("ready",))
        record = self.operations.federations.get(self.name)
        now = time.time()
        claimed = msgspec.structs.replace(
            round_record(*things),
            federation=self.name,
            settings=record.settings,
            base=record.model,
            schema=record.schema,
            life=record.life,
            target=amount_of(record.settings.target, len(things)),
            quorum=amount_of(record.settings.quorum, len(things)),
            opened_at=now,
            deadline=now + record.settings.deadline_s,
            **changes,
        )
        self.operations.rounds.claim(claimed)
        return claimed

    # ---- What devices do

    def assignment(self, thing: str, round_number: int) -> Assignment:
        """A device's assignment, once it has come."""

        life = self.life

        def look() -> Assignment | None:
            assignment = self.desired(thing).assignment
            is_it = assignment is not None and (assignment.life, assignment.round) == (life, round_number)
            return assignment if is_it else None

        return eventually(look, f"{thing}'s assignment of round {round_number}")

    def update(self, thing: str, round_number: int, value: float = 1.0, **changes: Any) -> bytes:
        """The update of a device that trained as it was told; `changes` are of its report."""
        return update_of(delta(value), self.report(thing, round_number, **changes))

    def report(self, thing: str, round_number: int, **changes: Any) -> Report:
        """What such a device says of its update. Without a base, it trained from the model that is current now."""
        fields: dict[str, Any] = {"federation": self.name, "round": round_number, "thing": thing, "life": self.life}
        if "base" not in changes:
            fields["base"] = self.operations.federations.get(self.name).model.downloaded.sha256
        return report(**fields | changes)

    def put(self, thing: str, round_number: int, data: bytes) -> str:
        """Upload an update; returns the version it became."""
        return self.put_object(self.update_key(thing, round_number), data)

    def update_key(self, thing: str, round_number: int) -> str:
        """Where an update belongs."""
        return names.update_key(self.name, round_number, thing, self.life)

    def put_early(self, updates: Mapping[str, bytes]) -> dict[str, str]:
        """Upload updates before there is a round: the events that S3 sends of itself change nothing. Returns these
        events, by thing, for a test to hand to the averager when and how it wants."""
        events = {thing: self.arrival(thing, 1, self.put(thing, 1, data)) for thing, data in updates.items()}
        self.settled()
        return events

    def answer(self, thing: str, round_number: int, value: float = 1.0, **changes: Any) -> str:
        """Wait for the assignment, and upload an update."""
        assignment = self.assignment(thing, round_number)
        data = self.update(thing, round_number, value, base=assignment.model.sha256, **changes)
        return self.put(thing, round_number, data)

    # ---- What comes of it

    def accepted_count(self, round_number: int, count: int) -> RoundRecord:
        """A round, once so many updates were accepted."""
        return self.round_with(round_number, f"at {count} updates", lambda record: record.accepted == count)

    def responses(self, round_number: int) -> dict[tuple[str, str], ResponseRecord]:
        """What came back in a round, by thing and state."""
        answers = self.responses_to(round_number)
        responses = (*answers.accepted, *answers.failed, *answers.refused)
        return {(response.thing, response.state): response for response in responses}

    def reason(self, thing: str, round_number: int) -> str:
        """Why an update was refused, once it was."""

        def look() -> str | None:
            refused = self.responses(round_number).get((thing, "refused"))
            return refused.reason if refused else None

        return eventually(look, f"a refusal of {thing}'s update")

    def client(self, thing: str) -> ClientRecord:
        """What is known of a client, once anything is."""

        def look() -> ClientRecord | None:
            return next((c for c in self.operations.clients.of(self.name) if c.thing == thing), None)

        return eventually(look, f"client {thing} of {self.name}")

    def current(self) -> tuple[ModelReference, dict[str, NDArray[Any]]]:
        """The global model that the federation points to."""
        reference = self.operations.federations.get(self.name).model
        return reference, load(self.operations.models.get(reference))[1]

    def models_written(self, round_number: int) -> int:
        """How often a model was written to a round's key."""
        answer = self.aws.client("s3").list_object_versions(
            Bucket=self.deployed.bucket, Prefix=names.model_key(self.name, round_number, self.life)
        )
        return len(answer.get("Versions", []))

    # ---- Messages, as the queues deliver them

    def arrival(self, thing: str, round_number: int, version: str) -> str:
        """The event by which S3 tells of an update."""
        return self.arrival_of(self.update_key(thing, round_number), version)

    def arrival_of(self, key: str, version: str) -> str:
        """The event by which S3 tells of an object."""
        record = {
            "eventTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": self.deployed.bucket}, "object": {"key": key, "versionId": version}},
        }
        return json.dumps({"Records": [record]})

    def invoke(self, function: str, **bodies: str) -> set[str]:
        """Hand a batch of messages, id = body, to a function; returns the ids of those to be delivered again."""
        return self._deliver(function, bodies, receives=1)

    def invoke_again(self, function: str, **bodies: str) -> set[str]:
        """As `invoke`, for messages that have been delivered before."""
        return self._deliver(function, bodies, receives=2)

    def _deliver(self, function: str, bodies: Mapping[str, str], receives: int) -> set[str]:
        attributes = {"ApproximateReceiveCount": str(receives)}
        event = {"Records": [{"messageId": m, "body": body, "attributes": attributes} for m, body in bodies.items()]}
        answer = invoke(self.aws, function, event)
        return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}

    def check(self, round_number: int) -> None:
        """Tell the averager to look at a round."""
        check = CheckRound(federation=self.name, life=self.life, round=round_number, at=0.0)
        assert self.invoke(self.deployed.averager, check=encode(check).decode()) == set()

    def abort(self, round_number: int, reason: str) -> None:
        """Tell the averager that an operator ends a round."""
        abort = AbortRound(federation=self.name, life=self.life, round=round_number, reason=reason)
        assert self.invoke(self.deployed.averager, abort=encode(abort).decode()) == set()

    def reach_deadline(self, round_number: int) -> None:
        """Let a round's deadline be now, and tell the averager to look."""
        self.set_time(round_number, "deadline", time.time())
        self.check(round_number)

    def wake(self) -> None:
        """What the schedule does every five minutes."""
        assert invoke(self.aws, self.deployed.initiator, {"kind": "wake"}) == {}

    def bring_next_round_forward(self) -> None:
        """Let it be time for the next round."""
        self.aws.client("dynamodb").update_item(
            TableName=self.deployed.federations_table,
            Key={"federation": {"S": self.name}},
            UpdateExpression="SET next_at = :now",
            ConditionExpression="attribute_exists(federation)",
            ExpressionAttributeValues={":now": to_attribute(time.time())},
        )

    def set_time(self, round_number: int, attribute: str, value: float) -> None:
        """Turn a clock of a round."""
        self.aws.client("dynamodb").update_item(
            TableName=self.deployed.rounds_table,
            Key={"federation": {"S": self.name}, "round": to_attribute(round_number)},
            UpdateExpression=f"SET {attribute} = :value",
            ConditionExpression="attribute_exists(federation)",
            ExpressionAttributeValues={":value": to_attribute(value)},
        )

    def delayed(self, queue: str) -> int:
        """How many messages of a queue wait for their time."""
        count = "ApproximateNumberOfMessagesDelayed"
        sqs = self.aws.client("sqs")
        return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[count])["Attributes"][count])


def invoke(aws: EmbeddedAws, function: str, event: dict[str, Any]) -> Any:
    """Call a function and wait for what it returns."""
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload
