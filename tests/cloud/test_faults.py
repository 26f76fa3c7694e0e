"""AWS refuses calls of the functions, and delivers what no one can read: nothing is lost."""

import json
import threading
from collections.abc import Container
from typing import Any

import pytest

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Request
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation, attributes_of
from tests.conftest import Line

THROTTLED = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
DENIED = b'{"__type": "AccessDeniedException", "message": "not now"}'


def answer(status: str, body: bytes, kind: str = "application/x-amz-json-1.0") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def operation_of(request: Request) -> str:
    """A request's operation, as well as its head tells."""
    if target := request.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    parts = request.path.split("/")
    for kind in ("models", "updates", "shadow", "topics"):
        if kind in parts:
            return f"{request.method} {kind}"
    return f"{request.method} {parts[1]}"


class Refusing:
    """Refuses the first `times` calls of each of these operations, or of all, and counts them."""

    def __init__(self, times: int, operations: Container[str] | None = None, body: bytes = THROTTLED) -> None:
        self.refused: dict[str, int] = {}
        self._times = times
        self._operations = operations
        self._body = body
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> bytes | None:
        operation = operation_of(request)
        with self._lock:
            count = self.refused.get(operation, 0)
            if count >= self._times or not (self._operations is None or operation in self._operations):
                return None
            self.refused[operation] = count + 1
        if "x-amz-target" in request.headers:
            return answer("400 Bad Request", self._body)
        return answer("503 Slow Down", SLOW_DOWN, "application/xml")


def test_a_call_that_aws_throttles_is_made_again(simulated: SimulatedFederation, line: Line) -> None:
    simulated.create(["d0", "d1"], rounds=2)
    line.fault = refusing = Refusing(1)
    simulated.start()
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.attempts) == ("closed", 2, 1)
    assert simulated.opened(2).base == closed.model
    assert simulated.responses_to(2).notified.keys() == {"d0", "d1"}
    assert set(refusing.refused) >= {
        "GetItem",
        "BatchGetItem",
        "Query",
        "TransactWriteItems",
        "SendMessage",
        "GET models",
        "GET updates",
        "PUT models",
        "POST shadow",
    }


def test_an_update_that_could_not_be_counted_comes_again(
    aws: EmbeddedAws, simulated: SimulatedFederation, line: Line
) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    simulated.opened(1)
    line.fault = refusing = Refusing(2, {"TransactWriteItems"}, DENIED)
    with attributes_of(aws, simulated.deployed.updates_queue, {"VisibilityTimeout": "2"}):
        simulated.answer("d0", 1)
        record = simulated.accepted_count(1, 1)
        assert (record.failed, record.refused, record.version) == (0, 0, 1)
        assert refusing.refused == {"TransactWriteItems": 2}
        simulated.answer("d1", 1)
        assert simulated.ended(1).accepted == 2
        simulated.settled()


def dead_letters(aws: EmbeddedAws, deployed: Deployment, name: str) -> str:
    resource = aws.client("cloudformation").describe_stack_resource(StackName=deployed.stack, LogicalResourceId=name)
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


@pytest.mark.parametrize("kind", ["updates", "rounds"])
def test_a_message_that_no_one_can_read_ends_among_the_dead_letters(
    aws: EmbeddedAws, deployed: Deployment, simulated: SimulatedFederation, kind: str
) -> None:
    queue = {"updates": deployed.updates_queue, "rounds": deployed.rounds_queue}[kind]
    letters = dead_letters(aws, deployed, f"{kind.capitalize()}DeadLetters")
    sqs = aws.client("sqs")
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    impatient = json.dumps(json.loads(policy) | {"maxReceiveCount": 2})
    poison = f"no message of fedgrass: {simulated.name}"
    simulated.create(["d0"], rounds=1)
    with attributes_of(aws, queue, {"VisibilityTimeout": "1", "RedrivePolicy": impatient}):
        sqs.send_message(QueueUrl=queue, MessageBody=poison)
        simulated.start()
        simulated.answer("d0", 1)
        assert simulated.ended(1).status == "closed"  # it blocks no one

        def letter() -> Any:
            received = sqs.receive_message(QueueUrl=letters, MaxNumberOfMessages=10, VisibilityTimeout=1)
            return next((message for message in received.get("Messages", []) if message["Body"] == poison), None)

        found = eventually(letter, "the dead letter")
        sqs.delete_message(QueueUrl=letters, ReceiptHandle=found["ReceiptHandle"])
        simulated.settled()
