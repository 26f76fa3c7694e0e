"""Lambda's part in the harness of crash_points: the deployed functions, their queues, and the time, all under control.

The event source mappings of the stack are switched off; what they do is done here, one delivery at a time: receive from
the real queues, invoke, delete what was handled, and leave the rest to come again. The schedule, a second safety net,
is switched off and not replaced: redelivery has to be enough.
"""

import json
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from protocol.messages import InvalidMessageError
from sandbox import python_environment
from sandbox.sandbox import Sandbox
from trials.crashes.deployed_function import Clock, Function, Kill, Outcome

_HELD_S = 43_200
_OBJECT_KEY = re.compile(r"(federations|updates)/([^/]+)/(?:[0-9a-f]{8}/(?=.*/))?(.+)\.safetensors")


class Source(msgspec.Struct, frozen=True, eq=False):
    """A queue, and the function that an event source mapping has it wake."""

    arn: str
    url: str
    function: Function
    batch: int
    visibility_s: float
    dead_letters: str


class Message(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A message that was received so often. `label` says what it is about, the same in every run; `due` is when it may
    be delivered."""

    source: Source
    id: str
    receipt: str
    body: str
    federation: str
    label: str
    due: float
    receives: int = 1


class EventSources:
    """The functions of a sandbox and the queues that wake them, for the time of a `with` block. `faults` is as for
    functions_host.py."""

    def __init__(self, sandbox: Sandbox, faults: Path | None = None) -> None:
        self.clock = Clock()
        self._sandbox = sandbox
        self._faults = faults
        self._sqs = sandbox.aws.client("sqs")
        self._again: dict[str, Message] = {}

    def __enter__(self) -> Self:
        client = self._sandbox.aws.client
        for rule in client("events").list_rules()["Rules"]:
            client("events").disable_rule(Name=rule["Name"])
        directory = Path(tempfile.mkdtemp(prefix="functions-", dir=self._sandbox.path))
        python = python_environment.create(directory / "python", python_environment.OF_LAMBDA)
        self._functions: dict[str, Function] = {}
        with ExitStack() as stack:
            mappings = client("lambda").list_event_source_mappings()["EventSourceMappings"]
            for mapping in mappings:
                client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
                name = mapping["FunctionArn"].rpartition(":")[2]
                if name not in self._functions:
                    self._functions[name] = Function(self._sandbox, name, directory / name, python, self._faults)
                    stack.callback(self._functions[name].stop)
            self.sources = [self._source(mapping) for mapping in mappings]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def forget(self) -> None:
        """Let both functions begin anew, at the real time."""
        self.clock.reset()
        for function in self._functions.values():
            function.forget()

    def receive(self, federation: str) -> list[Message]:
        """All new messages of a federation. What is left over of others is deleted."""
        received = [message for source in self.sources for message in self._receive_from(source)]
        self.delete([message for message in received if message.federation != federation])
        return [message for message in received if message.federation == federation]

    def deliver(self, batch: Sequence[Message], kill: Kill | None, redelivery_s: float | None = None) -> Outcome:
        """Invoke the function whose messages these are. What it has handled is deleted; the rest comes again, after the
        queue's visibility timeout or `redelivery_s`.

        Raises:
            FunctionDiedError: as Function.invoke.
        """
        source = batch[0].source
        outcome = source.function.invoke({"Records": [_record(message) for message in batch]}, self.clock, kill)
        failed = [message for message in batch if outcome.killed or message.id in outcome.failed]
        for message in failed:
            again_s = source.visibility_s if redelivery_s is None else redelivery_s
            self._again[message.id] = msgspec.structs.replace(message, due=self.clock.now() + again_s)
            self._sqs.change_message_visibility(QueueUrl=source.url, ReceiptHandle=message.receipt, VisibilityTimeout=0)
        self.delete([message for message in batch if message not in failed])
        return outcome

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages from their queues."""
        for message in messages:
            self._sqs.delete_message(QueueUrl=message.source.url, ReceiptHandle=message.receipt)

    def take_dead_letters(self) -> int:
        """How many messages were given up, since it was last asked."""
        found = 0
        for url in {source.dead_letters for source in self.sources}:
            attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
            count = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
            if count:
                self._sqs.purge_queue(QueueUrl=url)
            found += count
        return found

    def _source(self, mapping: dict[str, Any]) -> Source:
        arn = mapping["EventSourceArn"]
        url = self._url(arn)
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return Source(
            arn=arn,
            url=url,
            function=self._functions[mapping["FunctionArn"].rpartition(":")[2]],
            batch=mapping["BatchSize"],
            visibility_s=float(attributes["VisibilityTimeout"]),
            dead_letters=self._url(json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"]),
        )

    def _url(self, arn: str) -> str:
        return str(self._sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"])

    def _receive_from(self, source: Source) -> list[Message]:
        received: list[Message] = []
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=source.url, MaxNumberOfMessages=10, VisibilityTimeout=_HELD_S, MessageAttributeNames=["due"]
            )
            messages = answer.get("Messages", [])
            received += [self._message(source, message) for message in messages]
            if len(messages) < 10:
                return received

    def _message(self, source: Source, raw: dict[str, Any]) -> Message:
        again = self._again.pop(raw["MessageId"], None)
        if again is not None:
            return msgspec.structs.replace(again, receipt=raw["ReceiptHandle"], receives=again.receives + 1)
        attributes = raw.get("MessageAttributes", {})
        federation, label = describe(raw["Body"])
        return Message(
            source=source,
            id=raw["MessageId"],
            receipt=raw["ReceiptHandle"],
            body=_dated(raw["Body"], self.clock.now()),
            federation=federation,
            label=label,
            due=float(attributes["due"]["StringValue"]) if "due" in attributes else self.clock.now(),
        )


def describe(body: str) -> tuple[str, str]:
    """The federation of a message, and what it is about.

    Raises:
        InvalidMessageError: it is none that the functions are sent.
    """
    content = json.loads(body)
    if "Records" in content:
        found = _OBJECT_KEY.fullmatch(content["Records"][0]["s3"]["object"]["key"])
        if found is not None:
            return found[2], found[3] if found[1] == "federations" else f"updates/{found[3]}"
    elif content.get("kind") == "outcome":
        return str(content["shadow"]).removeprefix("fedgrass-"), f"outcome {content['thing']}"
    elif content.get("Event") == "s3:TestEvent":  # S3 sends one when a notification is set up
        return "", "test event"
    elif "federation" in content:
        return str(content["federation"]), f"{content['kind']} {content.get('round', content.get('thing'))}"
    raise InvalidMessageError(f"not a message for the functions: {body[:200]}")


def _dated(body: str, now: float) -> str:
    """S3's own event with the functions' time; other messages as they are."""
    content = json.loads(body)
    for record in content.get("Records", []) if "put_off" not in content else []:
        record["eventTime"] = datetime.fromtimestamp(now, UTC).isoformat()
    return json.dumps(content)


def _record(message: Message) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": message.source.arn,
        "awsRegion": message.source.arn.split(":")[3],
    }
