"""cloud/state/messaging.py: who is told what, and what becomes of those who can't be told."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from cloud.state.messaging import Notices
from protocol import names
from protocol.messages import Assignment, CheckRound, OpenRound, Training, encode
from tests.cloud.examples import BASE

NOW = 1_800_000_000.0
ASSIGNMENT = Assignment(
    round=1, model=BASE, training=Training(batch_size=8, learning_rate=0.1, epochs=1), deadline=NOW + 600
)


@pytest.fixture
def iot() -> Iterator[Stubber]:
    """AWS IoT, as told."""
    with Stubber(client("iot-data")) as stubber:
        yield stubber


@pytest.fixture
def sqs() -> Iterator[Stubber]:
    """SQS, as told."""
    with Stubber(client("sqs")) as stubber:
        yield stubber


def client(service: str) -> Any:
    session: Any = boto3.Session(aws_access_key_id="a", aws_secret_access_key="s", region_name="us-east-1")  # noqa: S106
    return session.client(service)


def notices(iot: Stubber, sqs: Stubber) -> Notices:
    iot_client: Any = iot.client  # as Stubber declares it, it is any client
    sqs_client: Any = sqs.client
    return Notices(iot_client, sqs_client, "rounds", "control", "updates", "shards", ThreadPoolExecutor(1))


def test_a_client_that_cannot_be_told_for_good_keeps_no_one_from_being_told(iot: Stubber, sqs: Stubber) -> None:
    told = {"shadowName": names.shadow_name("f"), "payload": ANY}
    iot.add_response("update_thing_shadow", {}, told | {"thingName": "a"})
    for code, status in (("ResourceNotFoundException", 404), ("RequestEntityTooLargeException", 413)):
        iot.add_client_error("update_thing_shadow", code, http_status_code=status)
    iot.add_response("update_thing_shadow", {}, told | {"thingName": "d"})
    assert notices(iot, sqs).assign("f", ["a", "b", "c", "d"], ASSIGNMENT).keys() == {"a", "d"}
    iot.assert_no_pending_responses()


passing = pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 429),
        ("InternalFailureException", 500),
        ("ServiceUnavailableException", 503),
        ("ForbiddenException", 403),
    ],
)


@passing
def test_clients_of_which_none_could_be_told_just_now_are_to_be_told_again(
    iot: Stubber, sqs: Stubber, code: str, status: int
) -> None:
    for _ in range(2):
        iot.add_client_error("update_thing_shadow", code, http_status_code=status)
    with pytest.raises(ClientError, match=code):
        notices(iot, sqs).assign("f", ["a", "b"], ASSIGNMENT)


@passing
def test_one_client_that_could_not_be_told_keeps_no_one_from_being_told(
    iot: Stubber, sqs: Stubber, code: str, status: int
) -> None:
    iot.add_client_error("update_thing_shadow", code, http_status_code=status)
    iot.add_response("update_thing_shadow", {})
    assert notices(iot, sqs).assign("f", ["a", "b"], ASSIGNMENT).keys() == {"b"}
    iot.add_client_error("update_thing_shadow", code, http_status_code=status)
    assert notices(iot, sqs).assign("f", ["a"], ASSIGNMENT) == {}  # it may be all that was to be told


@passing
def test_a_withdrawal_that_no_one_could_be_told_of_holds_nothing_up(
    iot: Stubber, sqs: Stubber, code: str, status: int
) -> None:
    for _ in range(2):
        iot.add_client_error("update_thing_shadow", code, http_status_code=status)
    notices(iot, sqs).withdraw("f", "", ["a", "b"], 1)
    iot.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("at", "delay_s"), [(NOW - 5.0, 0), (NOW, 0), (NOW + 0.1, 1), (NOW + 60.0, 60), (NOW + 1e6, 900)]
)
def test_a_message_waits_for_its_time_as_long_as_sqs_lets_it(
    iot: Stubber, sqs: Stubber, at: float, delay_s: int
) -> None:
    request, check = OpenRound(federation="f", round=1, not_before=at), CheckRound(federation="f", round=1, at=at)
    for queue, message in (("rounds", request), ("control", check)):
        expected = {"QueueUrl": queue, "MessageBody": encode(message).decode(), "DelaySeconds": delay_s}
        sqs.add_response("send_message", {"MessageId": "1", "MD5OfMessageBody": "2"}, expected)
    ways = notices(iot, sqs)
    ways.ask_for_round(request, NOW)
    ways.ask_for_check(check, NOW)
    sqs.assert_no_pending_responses()
