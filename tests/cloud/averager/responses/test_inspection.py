"""cloud/averager/responses/inspection.py: an update counts, or is refused for a reason that says why."""

import json
import math
import re
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.responses.inspection import RefusedError, inspect, largest_change, max_bytes
from protocol.encodings import BLOCK, Encoded, UpdateLayout, update_layout
from protocol.encodings import dump as dump_update
from protocol.messages import MAX_REPORT_BYTES, Encoding, ModelHeader, encode
from protocol.names import UpdateName
from protocol.tensors import Array, Header, TensorSpec, dump, encode_header, header_length
from tests.cloud.examples import layout_of, report, round_record, update_of

ROUND = round_record("a", "b")
NAME = UpdateName("f", 1, "a")
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
DELTA: dict[str, Array] = {"w": np.array([[3.0, 0.0], [0.0, 4.0]], "<f4"), "n": np.array(7, "<i8")}
LAYOUT = layout_of(DELTA)
GOOD = update_of(DELTA, report())


def refusal(data: bytes, layout: UpdateLayout = LAYOUT) -> str:
    with pytest.raises(RefusedError) as refused:
        inspect(data, NAME, ROUND, layout)
    return str(refused.value)


def test_a_good_update_is_known_by_its_report_and_norm() -> None:
    inspected = inspect(GOOD, NAME, ROUND, LAYOUT)
    assert inspected.report == report()
    assert inspected.norm == 5.0  # of the floating-point part: the count of 7 is none
    assert inspected.data_start == header_length(GOOD)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("count", [1, BLOCK, 200_003])
def test_the_norm_is_that_of_what_is_decoded(encoding: Encoding, count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    delta = {"w": values, "n": DELTA["n"]}
    data = update_of(delta, report(encoding=encoding))
    inspected = inspect(data, NAME, ROUND, layout_of(delta, encoding))
    assert inspected.norm == pytest.approx(float(np.linalg.norm(values.astype(np.float64))), rel=1e-2)
    if encoding == "float32":
        assert inspected.norm == pytest.approx(float(np.linalg.norm(values.astype(np.float64))), rel=1e-12)
    assert data[inspected.data_start :][:8] == DELTA["n"].tobytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("other", ENCODINGS)
def test_an_update_has_to_be_in_the_encoding_that_was_asked_for(encoding: Encoding, other: Encoding) -> None:
    data = update_of(DELTA, report(encoding=other))
    if encoding == other:
        inspect(data, NAME, ROUND, layout_of(DELTA, encoding))
    else:
        expected = f"wrong encoding: the report says {other}, not {encoding}"
        assert refusal(data, layout_of(DELTA, encoding)) == expected


def test_an_update_that_is_not_in_the_encoding_that_it_says_is_of_a_wrong_schema() -> None:
    data = update_of(DELTA, report(encoding="int8")).replace(b"int8", b"bfloat16")
    header = header_length(data) + len("bfloat16") - len("int8") - 8
    data = header.to_bytes(8, "little") + data[8:]
    assert refusal(data, layout_of(DELTA, "bfloat16")).startswith("wrong schema: tensor ")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-30])
def test_scales_that_no_encoder_gives_are_refused(value: float) -> None:
    count = 600 * BLOCK + 1
    layout = layout_of({"w": np.zeros(count, "<f4")}, "int8")
    scales = np.ones(601, np.float32)
    scales[600] = value
    encoded = Encoded(np.ones(count, np.int8), scales, None)
    data = dump_update(layout, np.zeros(0, np.int64), encoded, encode(report(encoding="int8")))
    assert refusal(data, layout).startswith("wrong scales: that of block 600 is ")


def test_a_finite_scale_that_makes_values_infinite_is_refused() -> None:
    layout = layout_of({"a": np.zeros(BLOCK, "<f4"), "b": np.zeros(3, "<f4")}, "int8")
    scales = np.array([1.0, 3e38], np.float32)
    encoded = Encoded(np.full(BLOCK + 3, 2, np.int8), scales, None)
    data = dump_update(layout, np.zeros(0, np.int64), encoded, encode(report(encoding="int8")))
    assert refusal(data, layout) == "non-finite: tensor 'b'"


def test_tensors_in_another_order_than_the_models_are_a_wrong_schema() -> None:
    two: dict[str, Array] = {"a": np.zeros(2, "<f4"), "b": np.zeros(2, "<f4")}
    data = update_of(dict(reversed(two.items())), report())
    assert refusal(data, layout_of(two)).startswith("wrong schema: tensor ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a safetensors file",
        GOOD[:-1],
        GOOD + b"\0",
        update_of(DELTA, b""),
        update_of(DELTA, b"{}"),
        update_of(DELTA, b"[" * 60_000),
        update_of(DELTA, json.dumps({"v": 2}).encode()),
        update_of(DELTA, encode(report()).replace(b'"examples":10', b'"examples":0')),
        update_of(DELTA, encode(report()).replace(b'"examples":10', b'"examples":1' + b"0" * 400)),
        update_of(DELTA, encode(report(before={"loss": 1.0})).replace(b'"loss":1.0', b'"loss":NaN')),
        encode_header([TensorSpec("w", "F32", (2**62, 2**62, 0), 0, 0)], encode(report())),
    ],
    ids=[
        "empty",
        "text",
        "cut off",
        "too long",
        "no report",
        "empty report",
        "deep report",
        "another version",
        "no examples",
        "far too many examples",
        "loss is not a number",
        "impossible shape",
    ],
)
def test_bytes_that_are_no_update_are_malformed(data: bytes) -> None:
    assert refusal(data).startswith("malformed: ")


def test_a_report_too_long_to_be_kept_is_malformed() -> None:
    longest = {"x" * (MAX_REPORT_BYTES - len(encode(report())) - 10): 1.0}
    inspect(update_of(DELTA, report(describe=longest)), NAME, ROUND, LAYOUT)
    too_long = {"x" * MAX_REPORT_BYTES: 1.0}
    assert refusal(update_of(DELTA, report(describe=too_long))).startswith("malformed: a report of ")


def test_a_header_longer_than_any_good_one_is_not_even_parsed() -> None:
    padded = b"{" + b" " * (max_bytes(LAYOUT) - LAYOUT.data_bytes)
    data = len(padded).to_bytes(8, "little") + padded
    assert refusal(data).startswith("malformed: a header of ")


def test_a_header_that_another_reader_could_take_for_something_else_is_malformed() -> None:
    length = header_length(GOOD)
    header, body = GOOD[8:length], GOOD[length:]
    twice = header.replace(b'"n":{', b'"n":[],"n":{', 1)
    spaced = header.replace(b'"n":{', b'"n": {', 1)
    escaped = header.replace(b'"n":{', b'"\\u006e":{', 1)
    for other in (twice, spaced, escaped):
        assert other != header
        reason = refusal(len(other).to_bytes(8, "little") + other + body)
        assert reason == "malformed: the header is not spelled as fedgrass spells it"


def test_a_header_with_far_too_much_in_it_is_not_read_for_what_is_wrong() -> None:
    more = {f"{number}": np.zeros(0, "<f4") for number in range(1000)}
    assert re.match(r"malformed: the header is \d+ bytes longer", refusal(update_of(DELTA | more, report())))


def test_the_longest_report_that_is_kept_fits_whatever_it_is_made_of() -> None:
    quotes = '"' * ((MAX_REPORT_BYTES - len(encode(report())) - 10) // 2)
    data = update_of(DELTA, report(describe={quotes: 1.0}))
    assert len(data) <= max_bytes(LAYOUT)
    assert inspect(data, NAME, ROUND, LAYOUT).report.describe == {quotes: 1.0}


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"w": DELTA["w"]}, "'n' is missing"),
        (DELTA | {"x": np.zeros(1, "<f4")}, "'x' is not one of the model's"),
        (DELTA | {"w": np.zeros((4,), "<f4")}, "'w' is F32 [4], the model needs F32 [2, 2]"),
        (DELTA | {"w": np.zeros((2, 2), "<i8")}, "'w' is I64 [2, 2], the model needs F32 [2, 2]"),
    ],
)
def test_other_tensors_than_the_models_are_a_wrong_schema(delta: dict[str, Array], text: str) -> None:
    assert refusal(update_of(delta, report())) == f"wrong schema: tensor {text}"


def test_a_dtype_that_is_not_the_updates_is_a_wrong_schema() -> None:
    data = dump(DELTA | {"w": DELTA["w"].astype("<f8")}, {"w": "F64", "n": "I64"}, encode(report()))
    assert refusal(data).startswith("wrong schema: tensor 'w' is F64")


@pytest.mark.parametrize("change", [{"thing": "b"}, {"federation": "g"}, {"round": 2}])
def test_a_report_of_someone_else_or_another_round_is_a_sender_mismatch(change: dict[str, Any]) -> None:
    reason = refusal(update_of(DELTA, report(**change)))
    assert reason.startswith("sender mismatch: ")
    assert str(next(iter(change.values()))) in reason


def test_an_update_to_another_model_has_a_wrong_base() -> None:
    assert refusal(update_of(DELTA, report(base="0" * 64))) == (
        "wrong base: trained from a model with SHA-256 " + "0" * 64
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_with_their_tensor(value: float) -> None:
    bad = DELTA["w"].copy()
    bad[1, 0] = value
    assert refusal(update_of(DELTA | {"w": bad}, report())) == "non-finite: tensor 'w'"


def test_infinities_that_cancel_are_refused() -> None:
    bad = np.array([[np.inf, -np.inf], [0, 0]], "<f4")
    assert refusal(update_of(DELTA | {"w": bad}, report())) == "non-finite: tensor 'w'"


def test_the_largest_changes_that_count_have_a_finite_norm() -> None:
    large = np.full((2, 2), largest_change("F32"), "<f4")
    inspected = inspect(update_of(DELTA | {"w": large}, report()), NAME, ROUND, LAYOUT)
    assert inspected.norm == pytest.approx(2 * largest_change("F32"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("value", [3.38e38, -3.38e38, 1e30, 2.0**60 * 1.1])
@pytest.mark.parametrize("place", ["first", "w", "mean", "var"])
def test_changes_that_no_training_makes_are_out_of_range(encoding: Encoding, value: float, place: str) -> None:
    delta: dict[str, Array] = {
        "first": np.ones(70_000, "<f4"),
        "w": np.ones(3, "<f4"),
        "mean": np.ones(5, "<f4"),
        "var": np.ones(3, "<f4"),
    }
    delta[place][-1] = value
    buffers = ("mean", "var")
    data = update_of(delta, report(encoding=encoding), buffers)
    reason = refusal(data, layout_of(delta, encoding, buffers))
    assert reason.startswith(f"out of range: tensor {place!r} is changed by ")


@pytest.mark.parametrize(("dtype", "value"), [("F16", 5000.0), ("BF16", 1e19), ("F64", 1e19), ("F32", 1e19)])
def test_what_is_out_of_range_depends_on_the_models_dtype(dtype: str, value: float) -> None:
    layout = specified(wide="F64", w=dtype)
    fine = {"wide": np.full(3, 1e18, "<f4"), "w": np.full(3, value / 10, "<f4")}
    inspect(update_of(fine, report()), NAME, ROUND, layout)
    assert "'w'" in refusal(update_of(fine | {"w": np.full(3, value, "<f4")}, report()), layout)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_norm_is_of_parameters_alone(encoding: Encoding) -> None:
    delta: dict[str, Array] = {"w": np.array([3.0, 4.0], "<f4"), "mean": np.full(9, 1e6, "<f4"), "n": np.array(10**9)}
    buffers = ("mean",)
    data = update_of(delta, report(encoding=encoding), buffers)
    assert inspect(data, NAME, ROUND, layout_of(delta, encoding, buffers)).norm == pytest.approx(5.0, rel=1e-2)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_buffers_that_are_not_finite_are_refused_with_their_tensor(value: float, encoding: Encoding) -> None:
    delta: dict[str, Array] = {"w": np.ones(3, "<f4"), "mean": np.zeros(70_000, "<f4"), "var": np.ones(3, "<f4")}
    buffers = ("mean", "var")
    layout = layout_of(delta, encoding, buffers)
    data = bytearray(update_of(delta, report(encoding=encoding), buffers))
    start = len(data) - layout.data_bytes + layout.buffers_start + 4 * 70_001
    data[start : start + 4] = np.array([value], "<f4").tobytes()
    assert refusal(bytes(data), layout) == "non-finite: tensor 'var'"


def specified(**dtypes: str) -> UpdateLayout:
    tensors = tuple(TensorSpec(name, dtype, (3,), 0, 0) for name, dtype in dtypes.items())
    about = ModelHeader(federation="f", round=0)
    return update_layout(Header(tensors, 0, encode(about).decode()), "float32")


@pytest.mark.parametrize(
    ("dtype", "change"), [("BOOL", 2), ("U8", 256), ("I8", -256), ("I16", 2**16), ("I32", -(2**32)), ("I64", -(2**63))]
)
def test_integers_changed_by_more_than_their_dtype_has_room_for_are_refused(dtype: str, change: int) -> None:
    layout = specified(fine="I64", n=dtype)
    delta: dict[str, Array] = {"fine": np.array([1, -5, 2]), "n": np.array([0, change, 1])}
    assert refusal(update_of(delta, report()), layout).startswith("out of range: tensor 'n' is changed by ")
    delta["n"][1] = 1
    assert inspect(update_of(delta, report()), NAME, ROUND, layout).integer_change == 5


def test_an_update_of_an_older_component_is_refused_and_says_which_tensor_is_not_as_it_has_to_be() -> None:
    """It would have a variance among the numbers of int8."""
    delta: dict[str, Array] = {"w": np.ones(130, "<f4"), "running_var": np.ones(3, "<f4")}
    old = update_of(delta, report(encoding="int8"))
    reason = refusal(old, layout_of(delta, "int8", ("running_var",)))
    assert reason == "wrong schema: tensor 'running_var' is I8 [3], the model needs F32 [3]"


def test_an_update_of_empty_tensors_has_norm_zero() -> None:
    delta: dict[str, Array] = {"w": np.zeros((0, 3), "<f4")}
    assert inspect(update_of(delta, report()), NAME, ROUND, layout_of(delta)).norm == 0.0


@given(st.data())
def test_whatever_a_device_sends_it_is_accepted_as_declared_or_refused(data: st.DataObject) -> None:
    changed = bytearray(GOOD)
    header = header_length(GOOD[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    try:
        inspected = inspect(bytes(changed), NAME, ROUND, LAYOUT)
    except RefusedError:
        return
    assert inspected.norm == 5.0
    assert (inspected.report.thing, inspected.report.round, inspected.report.base) == ("a", 1, ROUND.base.sha256)
