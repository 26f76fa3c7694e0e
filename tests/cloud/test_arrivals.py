"""cloud/averager/handler.py: which updates an event of S3 tells of."""

import json
from typing import Any
from urllib.parse import quote_plus

import pytest

from cloud.averager.handler import parse_arrivals
from protocol.messages import InvalidMessageError
from protocol.names import UpdateName, update_key


def event(*keys: str, **changes: Any) -> str:
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventTime": "2026-01-02T03:04:05.678Z",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 1, "versionId": "v1"} | changes},
        }
        for key in keys
    ]
    return json.dumps({"Records": records})


def test_an_event_tells_who_sent_which_version_and_when() -> None:
    (arrival,) = parse_arrivals("m1", event(update_key("f", 3, "thing")))
    assert arrival.message_id == "m1"
    assert arrival.name == UpdateName("f", 3, "thing")
    assert arrival.key == update_key("f", 3, "thing")
    assert arrival.version_id == "v1"
    assert arrival.arrived_at == 1767323045.678


def test_keys_come_url_encoded() -> None:
    key = update_key("f", 3, "a:b_c-d")
    (arrival,) = parse_arrivals("m1", event(quote_plus(key)))
    assert arrival.key == key
    assert arrival.name.thing == "a:b_c-d"


def test_what_is_no_update_is_left_alone() -> None:
    keys = ["federations/f/models/00000001.safetensors", "x", update_key("f", 1, "a"), "federations/f/updates/1/%00"]
    assert [arrival.name.thing for arrival in parse_arrivals("m1", event(*keys))] == ["a"]


def test_the_event_by_which_s3_tests_a_queue_tells_of_nothing() -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-01-02T03:04:05.678Z", "Bucket": "b"}
    assert parse_arrivals("m1", json.dumps(body)) == []


@pytest.mark.parametrize(
    "body", ["", "hello", "[]", '{"Records": [{}]}', '{"Records": [{"s3": 1}]}', '{"Records": {}}']
)
def test_what_is_no_event_is_refused(body: str) -> None:
    with pytest.raises(InvalidMessageError, match="neither an S3 event nor a message"):
        parse_arrivals("m1", body)
