"""An update that S3 can't or won't give back: it is refused alone, with the reason, and the others count."""

from typing import Any

import pytest

from protocol import names
from sandbox.polling import eventually
from tests.cloud.hostile.conftest import HONEST, HOSTILE, Answering, Member, Members
from tests.conftest import Line

SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}


def deliver_with_the_others(members: Members, version: str) -> None:
    """Have the averager told of the hostile member's object and of the honest members' in one batch."""
    simulated = members.simulated
    updates = members.updates()
    events = {thing: simulated.arrival(thing, 1, simulated.put(thing, 1, data)) for thing, data in updates.items()}
    simulated.settled()
    things = [*HONEST, HOSTILE]
    simulated.claim(*things)
    hostile = simulated.arrival_of(names.update_key(simulated.name, 1, HOSTILE, simulated.life), version)
    assert simulated.invoke(simulated.deployed.averager, hostile=hostile, **events) == set()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"StorageClass": "DEEP_ARCHIVE"}, "InvalidObjectState"),
        ({"StorageClass": "GLACIER"}, "InvalidObjectState"),
        (SSE_C, "InvalidRequest"),
    ],
)
def test_an_update_that_lies_where_it_cannot_be_read_is_refused_alone(
    members: Members, hostile: Member, calm: dict[str, bytes], headers: dict[str, Any], reason: str
) -> None:
    """The embedded AWS does not know these conditions of the device's policy: so the object is there."""
    members.create()
    version = hostile.put(
        names.update_key(members.simulated.name, 1, HOSTILE, members.simulated.life), b"out of reach", **headers
    )
    deliver_with_the_others(members, version)
    closed = members.simulated.ended(1)
    assert (closed.status, closed.accepted, closed.refused) == ("closed", 3, 1)
    assert reason in members.simulated.reason(HOSTILE, 1)
    assert members.bits() == calm


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("403 Forbidden", "AccessDenied"),
        ("403 Forbidden", "InvalidObjectState"),
        ("403 Forbidden", "AllAccessDisabled"),
        ("400 Bad Request", "InvalidRequest"),
        ("400 Bad Request", "KMS.DisabledException"),
        ("400 Bad Request", "KMS.NotFoundException"),
        ("400 Bad Request", "KMS.KMSInvalidStateException"),
        ("400 Bad Request", "BadDigest"),
        ("404 Not Found", "NoSuchKey"),
        ("404 Not Found", "NoSuchVersion"),
        ("405 Method Not Allowed", "MethodNotAllowed"),
        ("412 Precondition Failed", "PreconditionFailed"),
        ("416 Requested Range Not Satisfiable", "InvalidRange"),
        ("451 Unavailable For Legal Reasons", "SomethingThatIsYetToCome"),
    ],
)
def test_whatever_s3_says_of_one_object_refuses_that_update_alone(
    members: Members, hostile: Member, calm: dict[str, bytes], line: Line, status: str, code: str
) -> None:
    members.create()
    key = names.update_key(members.simulated.name, 1, HOSTILE, members.simulated.life)
    version = hostile.put(key, b"out of reach")
    members.simulated.settled()
    line.fault = Answering(key, status, code)
    deliver_with_the_others(members, version)
    assert members.simulated.ended(1).accepted == 3
    assert key in members.simulated.reason(HOSTILE, 1)
    assert members.bits() == calm


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("503 Slow Down", "SlowDown"),
        ("500 Internal Server Error", "InternalError"),
        ("400 Bad Request", "ExpiredToken"),
    ],
)
def test_an_update_that_cannot_be_read_just_now_comes_again_alone(
    members: Members, hostile: Member, calm: dict[str, bytes], line: Line, status: str, code: str
) -> None:
    members.create()
    simulated, updates = members.simulated, members.updates()
    key = names.update_key(simulated.name, 1, HOSTILE, simulated.life)
    arrivals = {thing: simulated.arrival(thing, 1, simulated.put(thing, 1, data)) for thing, data in updates.items()}
    event = simulated.arrival_of(key, hostile.put(key, b"some bytes"))
    simulated.settled()
    simulated.claim(*HONEST, HOSTILE)
    line.fault = Answering(key, status, code)
    assert simulated.invoke(simulated.deployed.averager, hostile=event, **arrivals) == {"hostile"}
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm
    line.fault = None
    assert simulated.invoke_again(simulated.deployed.averager, hostile=event) == set()
    assert simulated.round(1).accepted == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"ContentEncoding": "gzip"},
        {"Metadata": {"x" * 500: "y" * 500, "expires": "never"}},
        {"ContentType": "text/html", "ContentDisposition": 'attachment; filename="../../etc/passwd"'},
        {"CacheControl": "no-store, max-age=-1", "ContentLanguage": "xx"},
        {"WebsiteRedirectLocation": "https://127.0.0.1/elsewhere"},
    ],
)
def test_what_an_object_says_of_itself_changes_nothing(
    members: Members, hostile: Member, calm: dict[str, bytes], headers: dict[str, Any]
) -> None:
    members.create()
    version = hostile.put(
        names.update_key(members.simulated.name, 1, HOSTILE, members.simulated.life), b"no tensors", **headers
    )
    members.simulated.settled()
    deliver_with_the_others(members, version)
    assert members.simulated.ended(1).accepted == 3
    assert members.simulated.reason(HOSTILE, 1).startswith("malformed: ")
    assert members.bits() == calm


@pytest.mark.parametrize(
    "headers",
    [
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:111111111111:key/elsewhere"},
        {"ServerSideEncryption": "aws:kms:dsse"},
    ],
)
def test_a_member_cannot_choose_the_key_that_its_update_is_encrypted_with(
    members: Members, hostile: Member, headers: dict[str, Any]
) -> None:
    members.create()
    key = names.update_key(members.simulated.name, 1, HOSTILE, members.simulated.life)
    assert hostile.is_denied("put_object", Key=key, Body=b"1", **headers)
    assert hostile.is_denied("create_multipart_upload", Key=key, **headers)
    assert not hostile.is_denied("put_object", Key=key, Body=b"1", ServerSideEncryption="AES256")
    members.simulated.settled()


def test_a_round_goes_on_with_an_unreadable_update_among_real_events(
    members: Members, hostile: Member, calm: dict[str, bytes]
) -> None:
    members.begin()
    hostile.put(
        names.update_key(members.simulated.name, 1, HOSTILE, members.simulated.life),
        b"cold",
        StorageClass="DEEP_ARCHIVE",
    )
    eventually(lambda: members.simulated.reason(HOSTILE, 1), "the refusal")
    members.answer()
    assert members.simulated.ended(1).accepted == 3
    assert members.bits() == calm
