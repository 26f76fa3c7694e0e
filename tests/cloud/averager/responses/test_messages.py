"""cloud/averager/responses/messages.py: what the messages of the updates queue say."""

import json
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest

from cloud.averager.responses.messages import MAX_REASON, ArrivedOutcome, ArrivedUpdate, Junk, parse
from protocol.messages import AbortRound, CheckRound, InvalidMessageError, Message, Outcome, encode
from protocol.names import UpdateName, former_update_key, shadow_name, update_key

NOW = 1_800_000_000.0
FAILED = Outcome(thing="a", shadow=shadow_name("f"), round=3, phase="failed", reason="out of memory")


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


def arrivals(body: str) -> list[ArrivedUpdate]:
    said = parse("m1", body, NOW)
    assert all(isinstance(each, ArrivedUpdate) for each in said)
    return [each for each in said if isinstance(each, ArrivedUpdate)]


def test_an_event_tells_who_sent_which_version_and_when() -> None:
    (arrival,) = arrivals(event(update_key("f", 3, "thing")))
    assert arrival.message_id == "m1"
    assert arrival.name == UpdateName("f", 3, "thing")
    assert arrival.key == update_key("f", 3, "thing")
    assert arrival.version_id == "v1"
    assert arrival.arrived_at == 1767323045.678


def test_keys_come_url_encoded() -> None:
    key = update_key("f", 3, "a:b_c-d")
    (arrival,) = arrivals(event(quote_plus(key)))
    assert arrival.key == key
    assert arrival.name.thing == "a:b_c-d"


def test_what_is_no_update_is_left_alone() -> None:
    keys = ["federations/f/models/00000001.safetensors", "x", update_key("f", 1, "a"), "federations/f/updates/1/%00"]
    assert [arrival.name.thing for arrival in arrivals(event(*keys))] == ["a"]


def test_what_lies_among_the_updates_and_is_none_is_junk() -> None:
    keys = ["updates/f/00000001/a/b.safetensors", "updates/x.safetensors", "updates/F/00000001/a.safetensors"]
    assert parse("m1", event(*keys), NOW) == [Junk(message_id="m1", key=key, version_id="v1", size=1) for key in keys]


def test_an_update_where_an_earlier_version_put_it_is_one() -> None:
    (arrival,) = arrivals(event(former_update_key("f", 3, "thing")))
    assert (arrival.name, arrival.key) == (UpdateName("f", 3, "thing"), former_update_key("f", 3, "thing"))


def test_the_event_by_which_s3_tests_a_queue_tells_of_nothing() -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-01-02T03:04:05.678Z", "Bucket": "b"}
    assert parse("m1", json.dumps(body), NOW) == []


@pytest.mark.parametrize(
    "message",
    [
        CheckRound(federation="f", round=3, at=12.5),
        AbortRound(federation="f", round=3, reason="bad data"),
    ],
)
def test_a_message_of_the_functions_or_an_operator_is_what_was_sent(message: Message) -> None:
    assert parse("m1", encode(message).decode(), NOW) == [message]


def test_a_word_of_a_client_tells_of_which_federation_it_is_and_when_it_was_heard() -> None:
    word = ArrivedOutcome(message_id="m1", federation="f", outcome=FAILED, arrived_at=NOW)
    assert parse("m1", encode(FAILED).decode(), NOW) == [word]


def test_words_in_shadows_of_something_else_are_left_alone() -> None:
    for shadow in ("config", "fedgrass-", "fedgrass-No Federation"):
        assert parse("m1", json.dumps(json.loads(encode(FAILED)) | {"shadow": shadow}), NOW) == []


@pytest.mark.parametrize("field", ["round", "reason"])
@pytest.mark.parametrize("value", [-1, 1.5, {"deep": []}])
def test_a_word_that_a_device_made_up_wrongly_is_left_alone(field: str, value: Any) -> None:
    """It is no fault of the functions', and must not come again and again."""
    assert parse("m1", json.dumps(json.loads(encode(FAILED)) | {field: value}), NOW) == []


@pytest.mark.parametrize("reason", ["[" * 100_000 + "]" * 100_000, '"\\ud800"', '"'])
def test_a_word_that_cannot_be_read_is_left_alone(reason: str) -> None:
    for body in (f'{{"reason": {reason}, "kind": "outcome"}}', f'{{"kind":"outcome","reason": {reason}}}'):
        assert parse("m1", body, NOW) == []


def test_of_a_reason_no_more_is_kept_than_a_reader_needs() -> None:
    (word,) = parse("m1", encode(msgspec.structs.replace(FAILED, reason="r" * 100_000)).decode(), NOW)
    assert isinstance(word, ArrivedOutcome)
    assert word.outcome.reason == "r" * MAX_REASON


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        '{"Records": [{}]}',
        '{"Records": [{"s3": 1}]}',
        '{"Records": {}}',
        '{"kind": "news"}',
        '{"kind": "check-round", "v": 1}',
        '{"kind": "abort-round", "v": 2, "federation": "f", "round": 1, "reason": "r"}',
    ],
)
def test_what_is_no_message_is_refused(body: str) -> None:
    with pytest.raises(InvalidMessageError):
        parse("m1", body, NOW)


def test_an_arrival_that_is_put_off_tells_the_same_again() -> None:
    (arrival,) = arrivals(event(quote_plus(update_key("f", 3, "a:b_c-d"))))
    (without,) = arrivals(event(update_key("f", 3, "a"), versionId=None))
    for said in (arrival, without):
        assert not said.put_off
        again = msgspec.structs.replace(said, put_off=True, size=0)
        assert parse("m1", said.body.decode(), NOW + 60) == parse("m1", again.body.decode(), NOW + 60) == [again]


def test_a_word_that_is_put_off_tells_the_same_again_and_when_it_was_heard_first() -> None:
    (word,) = parse("m1", encode(FAILED).decode(), NOW)
    assert isinstance(word, ArrivedOutcome)
    (again,) = parse("m2", word.body.decode(), NOW + 60)
    assert isinstance(again, ArrivedOutcome)
    assert (again.federation, again.thing, again.arrived_at) == ("f", "a", NOW)
    assert (word.put_off, again.put_off) == (False, True)
    assert again.body == word.body
