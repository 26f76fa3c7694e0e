"""cloud/averager/inspection.py: an update counts, or is refused for a reason that says why."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.inspection import MAX_REPORT_BYTES, RefusedError, check_round, inspect
from protocol.messages import RoundState, encode
from protocol.names import UpdateName
from protocol.tensors import Array, TensorSpec, dump, encode_header, header_length
from tests.cloud.examples import report, round_record, update_of

ROUND = round_record("a", "b")
NAME = UpdateName("f", 1, "a")
SCHEMA: dict[str, tuple[str, tuple[int, ...]]] = {"w": ("F32", (2, 2)), "n": ("I64", ())}
DELTA: dict[str, Array] = {"w": np.array([[3.0, 0.0], [0.0, 4.0]], "<f4"), "n": np.array(7, "<i8")}
GOOD = update_of(DELTA, report())


def refusal(data: bytes) -> str:
    with pytest.raises(RefusedError) as refused:
        inspect(data, NAME, ROUND, SCHEMA)
    return str(refused.value)


def test_a_good_update_is_known_by_its_report_and_norm() -> None:
    inspected = inspect(GOOD, NAME, ROUND, SCHEMA)
    assert inspected.report == report()
    assert inspected.norm == 5.0  # of the floating-point part: the count of 7 is none


@pytest.mark.parametrize("status", ["averaging", "closed", "aborted"])
def test_an_update_that_comes_after_its_round_is_late(status: RoundState) -> None:
    with pytest.raises(RefusedError, match=f"^late: the round is {status}$"):
        check_round(round_record("a", status=status), NAME)


def test_a_sender_that_was_not_selected_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"^not in cohort$"):
        check_round(ROUND, UpdateName("f", 1, "stranger"))
    check_round(ROUND, UpdateName("f", 1, "b"))


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
        update_of(DELTA, encode(report(before={"loss": math.nan}))),
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
    inspect(update_of(DELTA, report(describe=longest)), NAME, ROUND, SCHEMA)
    too_long = {"x" * MAX_REPORT_BYTES: 1.0}
    assert refusal(update_of(DELTA, report(describe=too_long))).startswith("malformed: a report of ")


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


def test_huge_but_finite_values_have_a_finite_norm() -> None:
    huge = np.full((2, 2), np.finfo(np.float32).max, "<f4")
    inspected = inspect(update_of(DELTA | {"w": huge}, report()), NAME, ROUND, SCHEMA)
    assert inspected.norm == pytest.approx(2 * float(np.finfo(np.float32).max))


def test_an_update_of_empty_tensors_has_norm_zero() -> None:
    delta: dict[str, Array] = {"w": np.zeros((0, 3), "<f4")}
    assert inspect(update_of(delta, report()), NAME, ROUND, {"w": ("F32", (0, 3))}).norm == 0.0


@given(st.data())
def test_whatever_a_device_sends_it_is_accepted_as_declared_or_refused(data: st.DataObject) -> None:
    changed = bytearray(GOOD)
    header = header_length(GOOD[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    try:
        inspected = inspect(bytes(changed), NAME, ROUND, SCHEMA)
    except RefusedError:
        return
    assert inspected.norm == 5.0
    assert (inspected.report.thing, inspected.report.round, inspected.report.base) == ("a", 1, ROUND.base.sha256)
