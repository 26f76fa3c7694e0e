"""protocol/messages.py: what one side encodes the other reads, and nothing else is taken for it."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages
from protocol.messages import (
    AbortRound,
    Assignment,
    CheckRound,
    Evaluate,
    Hello,
    InvalidMessageError,
    Message,
    ModelHeader,
    ModelReference,
    OpenRound,
    Outcome,
    Report,
    RoundCounts,
    RoundNotice,
    Timings,
    Training,
    UnsupportedVersionError,
    convert,
    decode,
    encode,
)

MODEL = ModelReference(key="federations/f/models/00000000.safetensors", sha256="0" * 64, bytes=100)
TIMINGS = Timings(accepted_at=1.0, downloaded_at=2.0, trained_at=3.0, uploading_at=4.0, train_s=0.5)
REPORT = Report(
    federation="f",
    round=1,
    thing="t",
    base="0" * 64,
    encoding="float32",
    examples=10,
    steps=2,
    before={"loss": 2.5},
    after={"loss": 1.5, "accuracy": 0.5},
    describe={"battery": 0.9},
    timings=TIMINGS,
)
EXAMPLES: list[Message] = [
    Assignment(round=1, model=MODEL, training=Training(batch_size=8, learning_rate=0.1, epochs=1), deadline=1e9),
    RoundNotice(
        federation="f", round=1, state="closed", model=MODEL, counts=RoundCounts(cohort=2), metrics={"a": 1.0}, at=1e9
    ),
    Hello(component_version="1.0.0", architecture="aarch64", memory_bytes=1 << 30, cpu_count=4, examples=100),
    REPORT,
    ModelHeader(federation="f", round=0, buffers=("bn.running_mean",)),
    OpenRound(federation="f", round=1, not_before=1e9),
    CheckRound(federation="f", round=1, at=1e9),
    AbortRound(federation="f", round=1, reason="bad data"),
    Outcome(thing="t", shadow="fedgrass-f", round=1, phase="failed", reason="out of memory"),
]
NUMBERS_BY_NAME = ("before", "after", "average", "describe", "metrics", "not_finite")
"""Fields whose own fields are no struct's."""

each_message = pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)


def fields_of(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(encode(message))
    return fields


@each_message
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message), type(message)) == message
    assert decode(encode(message).decode(), type(message)) == message
    assert convert(fields_of(message), type(message)) == message


@each_message
@pytest.mark.parametrize("version", [0, 4, 99, -1])
def test_another_version_is_refused_with_both_versions_named(message: Message, version: int) -> None:
    with pytest.raises(UnsupportedVersionError, match=rf"{type(message).__name__} has version {version}.*version 1"):
        convert(fields_of(message) | {"v": version}, type(message))


def test_an_assignment_that_older_components_would_not_heed_has_a_version_that_they_refuse() -> None:
    training = Training(batch_size=8, learning_rate=0.1, epochs=1, momentum=0.9, proximal=0.1)
    assert messages.assignment_version(training) == 1
    assert messages.assignment_version(training, Evaluate()) == 3
    for changes, version in (
        ({"weight_decay": 0.1}, 2),
        ({"clip_norm": 1.0}, 2),
        ({"logit_calibration": 1.0}, 3),
        ({"logit_calibration": 1.0, "clip_norm": 1.0}, 3),
    ):
        changed = msgspec.structs.replace(training, **changes)
        assignment = Assignment(
            v=messages.assignment_version(changed), round=1, model=MODEL, training=changed, deadline=1e9
        )
        assert assignment.v == version
        assert decode(encode(assignment), Assignment) == assignment
        with pytest.raises(
            UnsupportedVersionError, match=rf"version {version}; this side speaks version 1: update the older"
        ):
            decode(encode(assignment), Hello)  # as one that knows the first version alone


def test_a_newer_version_is_refused_even_if_nothing_else_of_it_is_known() -> None:
    with pytest.raises(UnsupportedVersionError, match="version 2"):
        decode(b'{"v": 2, "something": ["else"]}', Report)


@each_message
def test_a_missing_version_is_named(message: Message) -> None:
    fields = fields_of(message)
    del fields["v"]
    with pytest.raises(InvalidMessageError, match="`v`"):
        convert(fields, type(message))


@each_message
def test_each_missing_field_is_named(message: Message) -> None:
    required = [field.encode_name for field in msgspec.structs.fields(message) if field.required]
    assert required
    for name in required:
        fields = fields_of(message)
        del fields[name]
        with pytest.raises(InvalidMessageError, match=rf"{type(message).__name__}.*`{name}`"):
            convert(fields, type(message))


@each_message
def test_unknown_fields_of_a_known_version_are_ignored_at_any_depth(message: Message) -> None:
    def with_news(value: Any, field: str = "") -> Any:
        if not isinstance(value, dict):
            return value
        added = {} if field in NUMBERS_BY_NAME else {"news": {"a": [1]}}
        return {name: with_news(inner, name) for name, inner in value.items()} | added

    assert convert(with_news(fields_of(message)), type(message)) == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"{}"',
        b"{",
        b"{}x",
        b'{"v": 1.5}',
        b'{"v": true}',
        b'{"v": "1"}',
        b'{"v": 1, "federation": "\xff"}',
        b"\x80\x04K\x01.",  # a pickle
        b"[" * 100_000,
        b'{"v": ' + b"9" * 5000 + b"}",
        b'{"v": 1, "before": ' + b'{"a":' * 100_000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_bytes_that_are_no_message_are_refused_as_such(data: bytes) -> None:
    with pytest.raises(InvalidMessageError, match="not a valid Report"):
        decode(data, Report)


def test_text_that_utf8_cannot_hold_is_refused_as_such() -> None:
    with pytest.raises(InvalidMessageError, match="not a valid Report"):
        decode("\ud800", Report)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("round", 0),
        ("round", -1),
        ("round", 1.5),
        ("round", "1"),
        ("round", 2**53 + 1),
        ("examples", 0),
        ("examples", 10**400),
        ("steps", -1),
        ("base", "0" * 63),
        ("base", "0" * 64 + "\n"),
        ("base", "G" * 64),
        ("encoding", "pickle"),
        ("thing", None),
        ("before", {"loss": "low"}),
        ("after", {"loss": [1.0]}),
        ("describe", [1.0]),
        ("timings", {}),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidMessageError, match=rf"\$\.{field}"):
        decode(json.dumps(fields_of(REPORT) | {field: value}), Report)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"])
def test_numbers_that_python_would_read_but_json_does_not_have_are_refused(number: bytes) -> None:
    data = encode(REPORT).replace(b'"loss":2.5', b'"loss":' + number)
    assert number in data
    with pytest.raises(InvalidMessageError, match="not a valid Report"):
        decode(data, Report)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(st.text(max_size=10), st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    st.integers(1, messages.MAX_INTEGER),
)
def test_numbers_come_back_to_the_bit(at: float, metrics: dict[str, float], examples: int) -> None:
    notice = RoundNotice(federation="f", round=1, state="open", metrics=metrics, at=at)
    assert decode(encode(notice), RoundNotice) == notice
    report = msgspec.structs.replace(REPORT, examples=examples)
    assert decode(encode(report), Report).examples == examples


@given(st.binary(max_size=200))
def test_whatever_bytes_come_only_an_invalid_message_is_raised(data: bytes) -> None:
    for kind in (Report, Hello, OpenRound):
        with pytest.raises(InvalidMessageError):
            decode(data, kind)


@given(st.data())
def test_a_message_changed_at_any_byte_is_read_or_refused_but_nothing_else(data: st.DataObject) -> None:
    changed = bytearray(encode(REPORT))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        report = decode(bytes(changed), Report)
    except InvalidMessageError:
        return
    assert report.examples >= 1
    assert all(value is None or math.isfinite(value) for value in report.before.values())


def test_a_number_that_is_not_finite_travels_as_null_and_is_none() -> None:
    told = decode(encode(msgspec.structs.replace(REPORT, before={"loss": math.nan, "accuracy": 0.5})), Report)
    assert told.before == {"loss": None, "accuracy": 0.5}
    assert decode(encode(told), Report) == told


def test_an_assignment_with_long_names_fits_a_message() -> None:
    longest = Assignment(
        round=messages.MAX_INTEGER,
        model=ModelReference(
            key="federations/" + "f" * 40 + "/models/99999999.safetensors", sha256="f" * 64, bytes=messages.MAX_INTEGER
        ),
        training=Training(
            batch_size=messages.MAX_INTEGER,
            learning_rate=0.1234567890123456,
            momentum=0.1234567890123456,
            proximal=0.1234567890123456,
            weight_decay=0.1234567890123456,
            clip_norm=0.1234567890123456,
            logit_calibration=0.1234567890123456,
            epochs=messages.MAX_INTEGER,
            steps=messages.MAX_INTEGER,
            seed=messages.MAX_INTEGER,
        ),
        deadline=1234567890.1234567,
    )
    # A shadow document carries it twice: desired, and reported as its mirror.
    assert 2 * len(encode(longest)) < messages.MAX_MESSAGE_BYTES
