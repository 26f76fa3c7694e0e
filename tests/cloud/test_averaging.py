"""cloud/averager/averaging.py: the arithmetic, against plain float64."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.averaging import (
    NotFiniteModelError,
    WeightedSum,
    apply,
    average,
    base_values,
    mean_metrics,
    new_model,
    read_update,
    weight_of,
)
from cloud.policies import InvalidPolicyError, Update
from protocol.messages import MAX_INTEGER, ModelHeader, decode
from protocol.tensors import DTYPES, Array, from_float32, load, to_float32
from tests.cloud.examples import model_of, report, update_of

Rule = Literal["mean", "weighted"]


def updates_of(deltas: Sequence[dict[str, Array]], examples: Sequence[int]) -> Iterator[Update]:
    """The updates as the averager has them: read from the bytes that devices sent."""
    for number, (delta, count) in enumerate(zip(deltas, examples, strict=True)):
        about = report(f"t{number:03d}", examples=count)
        yield read_update(about.thing, update_of(delta, about), about)


def random_deltas(count: int, shape: tuple[int, ...] = (17, 5)) -> list[dict[str, Array]]:
    generator = np.random.default_rng(0)
    return [{"w": generator.normal(scale=10.0 ** (number % 5 - 2), size=shape)} for number in range(count)]


def changed(rule: Rule, deltas: Sequence[dict[str, Array]], examples: Sequence[int]) -> Any:
    """What becomes of tensor w."""
    return average(updates_of(deltas, examples), rule, {})["w"]


def stored(deltas: Sequence[dict[str, Array]]) -> list[Any]:
    return [delta["w"].astype(np.float32).astype(np.float64) for delta in deltas]


@pytest.mark.parametrize("rule", ["mean", "weighted"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_mean_is_that_of_float64(rule: Rule, count: int) -> None:
    deltas, examples = random_deltas(count), [1 + 7 * number for number in range(count)]
    change = changed(rule, deltas, examples)
    weights = examples if rule == "weighted" else [1] * count
    expected = np.average(stored(deltas), axis=0, weights=weights)
    np.testing.assert_allclose(change, expected, rtol=1e-12, atol=1e-12)

    weights_before = np.random.default_rng(1).normal(size=(17, 5)).astype("<f4")
    header, arrays = model_of({"w": weights_before}, {"w": "F32"})
    model: Any = apply(header, base_values(header, arrays), {"w": change})["w"]
    assert model.dtype == np.float32
    np.testing.assert_allclose(model, weights_before + expected, rtol=1e-6)


def test_a_client_with_more_examples_weighs_more() -> None:
    deltas: list[dict[str, Array]] = [{"w": np.array([0.0])}, {"w": np.array([1.0])}]
    assert average(updates_of(deltas, [1, 3]), "weighted", {})["w"] == [0.75]
    assert average(updates_of(deltas, [1, 3]), "mean", {})["w"] == [0.5]
    assert weight_of("mean", report(examples=9)) == 1.0
    assert weight_of("weighted", report(examples=9)) == 9.0


def test_an_update_that_is_late_weighs_less() -> None:
    for age, expected in ((0, 1.0), (1, 1 / math.sqrt(2)), (3, 0.5)):
        assert weight_of("mean", report(examples=9), age) == pytest.approx(expected)
        assert weight_of("weighted", report(examples=9), age) == pytest.approx(9 * expected)
    deltas: list[dict[str, Array]] = [{"w": np.array([0.0])}, {"w": np.array([1.0])}]
    in_time, late = updates_of(deltas, [1, 1])
    change = average(iter([in_time, msgspec.structs.replace(late, age=3)]), "mean", {})
    assert change["w"] == pytest.approx(0.5 / 1.5)


def test_the_largest_number_of_examples_keeps_the_mean_finite() -> None:
    huge = float(np.finfo(np.float32).max)
    deltas: list[dict[str, Array]] = [{"w": np.array([huge])}, {"w": np.array([huge])}]
    assert average(updates_of(deltas, [MAX_INTEGER, MAX_INTEGER]), "weighted", {})["w"] == [huge]


def test_the_same_order_gives_the_same_bits() -> None:
    deltas, examples = random_deltas(20), list(range(1, 21))
    first = average(updates_of(deltas, examples), "weighted", {})["w"]
    again = average(updates_of(deltas, examples), "weighted", {})["w"]
    assert first.tobytes() == again.tobytes()


def test_sums_that_are_merged_give_the_mean_of_all() -> None:
    deltas = random_deltas(9)
    parts = [WeightedSum() for _ in range(3)]
    for number, update in enumerate(updates_of(deltas, range(1, 10))):
        parts[number % 3].accumulate(update.delta, weight_of("weighted", update.report))
    for part in parts[1:]:
        parts[0].merge(part)
    expected = np.average(stored(deltas), axis=0, weights=range(1, 10))
    np.testing.assert_allclose(parts[0].mean()["w"], expected, rtol=1e-12)


def test_merging_leaves_the_other_sum_as_it_was() -> None:
    one, other = WeightedSum(), WeightedSum()
    other.accumulate({"w": np.array([2.0])}, 1.0)
    one.merge(other)
    one.accumulate({"w": np.array([4.0])}, 1.0)
    assert one.mean()["w"] == [3.0]
    assert other.mean()["w"] == [2.0]


def test_there_is_no_mean_of_no_updates() -> None:
    with pytest.raises(ValueError, match="no updates"):
        average(iter([]), "mean", {})


def test_updates_are_asked_for_one_at_a_time() -> None:
    """Memory that does not grow with the number of clients: at most one update is alive beside the sums."""
    alive: list[int] = []

    def ask() -> Iterator[Update]:
        for number, update in enumerate(updates_of(random_deltas(5), [1] * 5)):
            alive.append(number)
            yield update

    iterator = ask()
    total = WeightedSum()
    for asked, update in enumerate(itertools.islice(iterator, 3), start=1):
        total.accumulate(update.delta, 1.0)
        assert len(alive) == asked


# ---- What becomes of each dtype


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_floating_tensors_keep_their_dtype_and_shape(dtype: str) -> None:
    for shape in ((3,), (2, 2), (), (0,)):
        values = from_float32(np.full(shape, 1.5, np.float32), dtype)
        header, arrays = model_of({"w": values}, {"w": dtype})
        change = average(updates_of([{"w": np.full(shape, 0.25)}] * 2, [1, 1]), "mean", {})
        data = new_model(header, apply(header, base_values(header, arrays), change), 1)
        after, loaded = load(data)
        assert after.schema == header.schema
        assert np.array_equal(to_float32(loaded["w"], dtype), np.full(shape, 1.75, np.float32))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_two_byte_floats_are_rounded_once_from_the_exact_sum(dtype: str) -> None:
    generator = np.random.default_rng(2)
    stored_values = from_float32(generator.normal(size=1000).astype(np.float32), dtype)
    delta = generator.normal(scale=0.01, size=1000).astype(np.float32)
    header, arrays = model_of({"w": stored_values}, {"w": dtype})
    change = average(updates_of([{"w": delta}], [3]), "weighted", {})
    model = apply(header, base_values(header, arrays), change)
    exact = to_float32(stored_values, dtype).astype(np.float64) + delta
    assert model["w"].tobytes() == from_float32(exact.astype(np.float32), dtype).tobytes()


@pytest.mark.parametrize(("dtype", "value"), [("F16", 1e5), ("BF16", 3.4e38), ("F32", 3.4e38)])
def test_a_model_never_gets_values_that_its_dtype_cannot_hold(dtype: str, value: float) -> None:
    for shape in ((3,), ()):
        base = from_float32(np.full(shape, 3e4 if dtype == "F16" else 3e38, np.float32), dtype)
        header, arrays = model_of({"w": base}, {"w": dtype})
        change = average(updates_of([{"w": np.full(shape, value)}], [1]), "mean", {})
        with pytest.raises(NotFiniteModelError, match=f"'w' has values that {dtype} can't hold"):
            apply(header, base_values(header, arrays), change)


def test_buffers_are_averaged_as_parameters_are() -> None:
    header, arrays = model_of(
        {"w": np.zeros(1, "<f4"), "mean": np.zeros(1, "<f4")}, {"w": "F32", "mean": "F32"}, ("mean",)
    )
    delta: dict[str, Array] = {"w": np.array([1.0]), "mean": np.array([3.0])}
    change = average(updates_of([delta], [1]), "weighted", {})
    after, loaded = load(new_model(header, apply(header, base_values(header, arrays), change), 4))
    assert (loaded["w"][0], loaded["mean"][0]) == (1.0, 3.0)
    about = decode(after.message, ModelHeader)
    assert (about.round, about.buffers, about.federation) == (4, ("mean",), "f")


@pytest.mark.parametrize("dtype", ["I64", "I32", "I16", "I8", "U8"])
def test_integers_are_rounded_and_kept_in_range(dtype: str) -> None:
    limits = np.iinfo(DTYPES[dtype].name)
    values = np.array([10, 10, 10, 10, limits.max, limits.min], DTYPES[dtype])
    header, arrays = model_of({"n": values}, {"n": dtype})
    change = np.array([0.4, 0.5, 1.5, -0.6, 5.0, -5.0])
    model = apply(header, base_values(header, arrays), {"n": change})
    assert model["n"].dtype == DTYPES[dtype]
    assert model["n"].tolist() == [10, 10, 12, 9, limits.max, limits.min]


@given(
    st.sampled_from(["I64", "I32", "I16", "I8", "U8"]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_an_integer_never_wraps_around(dtype: str, value: int, delta: int) -> None:
    limits = np.iinfo(DTYPES[dtype].name)
    value = max(limits.min, min(limits.max, value))
    header, arrays = model_of({"n": np.array(value, DTYPES[dtype])}, {"n": dtype})
    change = average(updates_of([{"n": np.array(delta)}], [1]), "mean", {})
    result = int(apply(header, base_values(header, arrays), change)["n"])
    assert limits.min <= result <= limits.max
    assert (result >= value) == (delta >= 0) or result == value
    if abs(delta) < 2**53:
        assert result == max(limits.min, min(limits.max, value + delta))


def test_a_counter_counts_on_beyond_what_a_float_holds() -> None:
    value = 2**60 + 1
    header, arrays = model_of({"n": np.array(value, "<i8")}, {"n": "I64"})
    change = average(updates_of([{"n": np.array(4)}, {"n": np.array(6)}], [1, 1]), "mean", {})
    assert int(apply(header, base_values(header, arrays), change)["n"]) == value + 5


def test_a_boolean_becomes_what_most_clients_have() -> None:
    header, arrays = model_of({"b": np.array([True, True, False, False])}, {"b": "BOOL"})
    deltas: list[dict[str, Array]] = [{"b": np.array([0, -1, 0, 1])}] * 2 + [{"b": np.array([-1, 0, 1, 0])}]
    model = apply(header, base_values(header, arrays), average(updates_of(deltas, [1, 1, 1]), "mean", {}))
    assert model["b"].dtype == np.bool_
    assert model["b"].tolist() == [True, False, False, True]


def test_the_next_round_starts_from_exactly_the_file_that_was_written() -> None:
    arrays: dict[str, Array] = {
        "w": np.ones((2, 3), "<f4"),
        "h": np.ones(3, "<f2"),
        "s": np.array(0x3F80, "<u2"),
        "n": np.array(5, "<i8"),
        "b": np.array(True),
    }
    header, loaded = model_of(arrays, {"w": "F32", "h": "F16", "s": "BF16", "n": "I64", "b": "BOOL"})
    change = {name: np.zeros(array.shape) for name, array in arrays.items()}
    first = new_model(header, apply(header, base_values(header, loaded), change), 1)
    header_after, loaded_after = load(first)
    assert header_after.schema == header.schema
    assert all(loaded_after[name].tobytes() == array.tobytes() for name, array in arrays.items())
    second = new_model(header_after, apply(header_after, base_values(header_after, loaded_after), change), 1)
    assert second == first


# ---- One's own rule

BASE: dict[str, Array] = {"w": np.array([1.0, 2.0], np.float32), "n": np.array(3, np.int64)}
DELTAS: list[dict[str, Array]] = [
    {"w": np.array([1.0, 0.0]), "n": np.array(1)},
    {"w": np.array([9.0, 4.0]), "n": np.array(3)},
]


def test_ones_own_rule_gets_the_updates_and_the_model() -> None:
    def average_of_mine(updates: Iterator[Update], model: dict[str, Any]) -> dict[str, Any]:
        largest = max(updates, key=lambda update: update.report.examples)
        return {name: largest.delta[name] - model[name] for name in model}

    change = average(updates_of(DELTAS, [1, 2]), "own", BASE, average_of_mine)
    assert change["w"].tolist() == [8.0, 2.0]
    assert change["n"].tolist() == 0


def test_ones_own_rule_may_return_lists_and_numbers() -> None:
    change = average(updates_of(DELTAS, [1, 2]), "own", BASE, lambda *_: {"w": [0.5, 0.5], "n": 2})
    assert (change["w"].tolist(), change["n"].tolist()) == ([0.5, 0.5], 2)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "null"),
        ([1, 2], "array"),
        ({}, "n, w"),
        ({"w": [1.0, 2.0]}, "missing or unknown: n"),
        ({"w": [1.0, 2.0], "n": 0, "x": 0}, "missing or unknown: x"),
        ({"w": [1.0], "n": 0}, r"'w' as float64 \[1\]; the model has \[2\]"),
        ({"w": [[1.0, 2.0]], "n": 0}, r"'w'.*the model has \[2\]"),
        ({"w": [1.0, 2.0], "n": [0]}, "'n'"),
        ({"w": [1.0, float("nan")], "n": 0}, "'w' with values that are not finite"),
        ({"w": [1.0, float("inf")], "n": 0}, "'w' with values that are not finite"),
        ({"w": ["a", "b"], "n": 0}, "'w' as <U1"),
        ({"w": [[1.0], [1.0, 2.0]], "n": 0}, "no array"),
        ({"w": [None, object()], "n": 0}, "'w' as object"),
    ],
)
def test_what_ones_own_rule_may_not_return_is_refused(returned: Any, text: str) -> None:
    def average_of_mine(updates: Iterator[Update], model: dict[str, Array]) -> Any:
        return returned

    with pytest.raises(InvalidPolicyError, match=rf"average.*{text}"):
        average(updates_of(DELTAS, [1, 2]), "own", BASE, average_of_mine)


def test_an_update_that_cannot_be_read_is_no_fault_of_ones_own_rule() -> None:
    """The round is tried again for the one, and given up for the other."""

    def unreadable() -> Iterator[Update]:
        yield from updates_of(DELTAS[:1], [1])
        raise ConnectionError("no answer from S3")

    with pytest.raises(ConnectionError, match="no answer from S3"):
        average(unreadable(), "own", BASE, lambda updates, _: {"n": len(list(updates))})


def test_ones_own_rule_must_be_loaded() -> None:
    with pytest.raises(InvalidPolicyError, match="no average"):
        average(updates_of(DELTAS, [1, 2]), "own", BASE)


# ---- Metrics


def test_metrics_are_averaged_by_examples() -> None:
    reports = [
        report("a", examples=1, before={"loss": 4.0}, after={"loss": 1.0, "accuracy": 0.5}),
        report("b", examples=3, before={"loss": 8.0}, after={"loss": 2.0}),
    ]
    expected = {"loss_before": 7.0, "loss_after": 1.75, "accuracy_after": 0.5}
    assert mean_metrics(reports) == pytest.approx(expected)
    assert mean_metrics([]) == {}


def test_a_metric_too_large_for_a_float_is_left_out_so_that_the_round_can_be_recorded() -> None:
    reports = [report("a", examples=10, after={"loss": 1e308, "accuracy": 0.5})]
    metrics = mean_metrics(reports)
    assert metrics == {"accuracy_after": 0.5}
    assert msgspec.json.decode(msgspec.json.encode(metrics), type=dict[str, float]) == metrics
    both = [report("a", examples=10, after={"x": 1e308}), report("b", examples=10, after={"x": -1e308})]
    assert mean_metrics(both) == {}
