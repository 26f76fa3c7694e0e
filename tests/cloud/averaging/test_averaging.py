"""From updates to a new model, in memory: the arithmetic, against plain float64."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from cloud.averager.round.pooled_metrics import MAX_METRIC_NAME, MAX_METRICS, Pooled, pooled_metrics
from cloud.averaging.new_model import NotFiniteModelError, store
from cloud.averaging.rules.custom import WholeChange
from cloud.averaging.sums import GROUP
from cloud.settings import Averaging, FedAdam, FedAvg, FedAvgM, ServerOptimizer
from protocol.messages import MAX_INTEGER, MAX_MESSAGE_BYTES, Encoding, ModelHeader, decode, encode
from protocol.tensors import DTYPES, Array, dump, from_float32, load, to_float32
from tests.cloud.averaged import round_of
from tests.cloud.examples import report, update_of

Rule = Literal["mean", "weighted"]
Arrays = dict[str, Array]

ENCODINGS: list[Encoding] = ["float32", "bfloat16", "int8"]
MIXED: dict[str, tuple[str, tuple[int, ...]]] = {
    "wide": ("F64", (7, 3)),
    "w": ("F32", (40, 5)),
    "scalar": ("F32", ()),
    "empty": ("F32", (0, 4)),
    "mean": ("F32", (9,)),
    "half": ("F16", (33,)),
    "brain": ("BF16", (300,)),
    "count": ("I64", (3,)),
    "small": ("U8", (5,)),
    "flag": ("BOOL", (4,)),
}
"""A model of every kind of tensor; `mean` is a buffer."""


def model(arrays: Arrays, dtypes: dict[str, str], buffers: tuple[str, ...] = (), round_number: int = 0) -> bytes:
    return dump(arrays, dtypes, encode(ModelHeader(federation="f", round=round_number, buffers=buffers)), buffers)


def mixed_model(seed: int = 0) -> bytes:
    generator = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, (dtype, shape) in MIXED.items():
        if dtype.startswith(("F", "BF")):
            values = generator.normal(size=shape)
            arrays[name] = np.asarray(values) if dtype == "F64" else from_float32(np.asarray(values, np.float32), dtype)
        else:
            arrays[name] = generator.integers(0, 2, shape).astype(DTYPES[dtype])
    return model(arrays, {name: dtype for name, (dtype, _) in MIXED.items()}, ("mean",))


def update_to(base: bytes, thing: str, seed: int, /, **changes: Any) -> bytes:
    """An update with random differences."""
    generator = np.random.default_rng(seed)
    deltas = {
        tensor.name: generator.normal(scale=10.0 ** (seed % 3 - 2), size=tensor.shape).astype("<f4")
        if tensor.dtype in ("F64", "F32", "F16", "BF16")
        else generator.integers(-3, 4, tensor.shape)
        for tensor in load(base)[0].tensors
    }
    return update_of(deltas, report(thing, **changes), decode(load(base)[0].message, ModelHeader).buffers)


def updates_to(base: bytes, count: int, /, **changes: Any) -> list[bytes]:
    return [update_to(base, f"t{i:03d}", i, examples=1 + 7 * i, steps=1 + i % 4, **changes) for i in range(count)]


def flat(deltas: Sequence[Array], examples: Sequence[int] | None = None) -> tuple[bytes, list[bytes]]:
    """A model of one tensor, w, all zeros, and these updates to it."""
    shape = deltas[0].shape
    base = model({"w": np.zeros(shape, "<f4")}, {"w": "F32"})
    counts = examples or [1] * len(deltas)
    about = [report(f"t{number:03d}", examples=count) for number, count in enumerate(counts)]
    return base, [update_of({"w": np.asarray(d)}, a) for d, a in zip(deltas, about, strict=True)]


def w_of(files: Any) -> Any:
    return load(files["model"])[1]["w"]


# ---- The mean


@pytest.mark.parametrize("rule", ["mean", "weighted"])
@pytest.mark.parametrize("count", [1, 2, 40, 2 * GROUP + 3])
def test_the_mean_is_that_of_float64(rule: Rule, count: int) -> None:
    generator = np.random.default_rng(0)
    deltas = [generator.normal(scale=10.0 ** (i % 5 - 2), size=(17, 5)).astype("<f4") for i in range(count)]
    examples = [1 + 7 * i for i in range(count)]
    base, updates = flat(deltas, examples)
    weights = examples if rule == "weighted" else [1] * count
    expected = np.average(np.asarray(deltas, np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(w_of(round_of(base, updates, Averaging(rule=rule)).average()), expected, rtol=1e-6)


AGES = st.lists(st.sampled_from([0, 0, 1, 2, 7, 100]), min_size=9, max_size=9)
"""How late each of nine updates is."""


@of_hypothesis(max_examples=30)
@given(st.permutations(range(9)), st.integers(1, 16), st.integers(1, 700), st.sampled_from([64, 200, 1 << 20]), AGES)
def test_neither_order_nor_shards_nor_blocks_change_a_bit(
    order: list[int], shards: int, elements: int, part_bytes: int, late: list[int]
) -> None:
    base = mixed_model()
    settings = Averaging(optimizer=FedAdam(), ema=0.9, clip_norm=0.7, normalize_steps=True)
    ages = {f"t{number:03d}": age for number, age in enumerate(late)}
    for encoding in ENCODINGS:
        updates = updates_to(base, 9, encoding=encoding)
        expected = round_of(base, updates, settings, part_bytes=part_bytes, ages=ages).average()
        shuffled = [updates[position] for position in order]
        again = round_of(base, shuffled, settings, elements=elements, part_bytes=part_bytes, ages=ages)
        assert again.average(shards) == expected


@given(AGES, st.lists(st.integers(1, MAX_INTEGER), min_size=9, max_size=9), st.sampled_from(["mean", "weighted"]))
def test_the_mean_of_updates_of_mixed_ages_is_that_of_float64(late: list[int], examples: list[int], rule: Rule) -> None:
    generator = np.random.default_rng(0)
    deltas = [generator.normal(loc=3.0, size=(17, 5)).astype("<f4") for _ in late]
    base, updates = flat(deltas, examples)
    weights = [
        (count if rule == "weighted" else 1) / math.sqrt(1 + age) for count, age in zip(examples, late, strict=True)
    ]
    expected = np.average(np.asarray(deltas, np.float64), axis=0, weights=weights)
    ages = {f"t{number:03d}": age for number, age in enumerate(late)}
    settings = Averaging(rule=rule, max_examples=MAX_INTEGER)
    np.testing.assert_allclose(w_of(round_of(base, updates, settings, ages=ages).average()), expected, rtol=1e-6)


def test_updates_that_are_all_equally_late_count_as_if_they_were_not() -> None:
    """Weights are those of a mean: FedBuff itself would divide by their number, and so take a smaller step."""
    base, updates = flat([np.array([1.0]), np.array([2.0])], [1, 3])
    assert w_of(round_of(base, updates, ages={"t000": 5, "t001": 5}).average()) == w_of(
        round_of(base, updates).average()
    )


def test_a_second_level_of_sums_changes_no_bit() -> None:
    base = mixed_model()
    updates = updates_to(base, 3 * GROUP - 5)
    for elements, part_bytes in ((1000, 1 << 20), (37, 200)):
        a_round = round_of(base, updates, elements=elements, part_bytes=part_bytes)
        shards = min(3, len(a_round.grid.parts))
        assert a_round.average(shards, summed=True) == a_round.average()


def test_the_size_of_parts_changes_no_weight() -> None:
    base = mixed_model()
    updates = updates_to(base, 5)
    settings = Averaging(optimizer=FedAvgM())
    whole, cut = (round_of(base, updates, settings, part_bytes=size).average() for size in (1 << 20, 100))
    assert whole["model"] == cut["model"]
    assert whole["optimizer"] != cut["optimizer"]  # its tensors are the parts


def test_a_client_with_more_examples_weighs_more() -> None:
    base, updates = flat([np.array([0.0]), np.array([1.0])], [1, 3])
    assert w_of(round_of(base, updates).average()) == [0.75]
    assert w_of(round_of(base, updates, Averaging(rule="mean")).average()) == [0.5]


def test_an_update_that_is_late_weighs_less() -> None:
    base, updates = flat([np.array([0.0]), np.array([1.0])])
    change = w_of(round_of(base, updates, ages={"t001": 3}).average())
    assert change == pytest.approx(0.5 / 1.5)


def test_the_largest_number_of_examples_keeps_the_mean_finite() -> None:
    huge = float(np.finfo(np.float32).max)
    base, updates = flat([np.array([huge]), np.array([huge])], [MAX_INTEGER, MAX_INTEGER])
    assert w_of(round_of(base, updates).average()) == [np.float32(huge)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_updates_count_as_what_their_encoding_says(encoding: Encoding) -> None:
    values = np.linspace(-1, 1, 700, dtype=np.float32)
    base = model({"w": np.zeros(700, "<f4")}, {"w": "F32"})
    update = update_of({"w": values}, report(encoding=encoding))
    tolerance = {"float32": 0.0, "bfloat16": 2.0**-8, "int8": 1 / 254}[encoding]
    found = w_of(round_of(base, [update], elements=129).average())
    assert np.abs(found - values).max() <= tolerance
    assert (encoding == "float32") == bool(np.array_equal(found, values))


# ---- Norms and steps


def test_an_update_of_too_large_a_norm_is_scaled_down_to_it() -> None:
    base, updates = flat([np.array([3.0, 4.0]), np.array([0.3, 0.4])])
    a_round = round_of(base, updates, Averaging(rule="mean", clip_norm=1.0), norms={"t000": 5.0, "t001": 0.5})
    np.testing.assert_allclose(w_of(a_round.average()), [(0.6 + 0.3) / 2, (0.8 + 0.4) / 2], rtol=1e-6)


def test_with_normalized_steps_who_took_more_steps_pulls_no_harder() -> None:
    base = model({"w": np.zeros(1, "<f4"), "mean": np.zeros(1, "<f4")}, {"w": "F32", "mean": "F32"}, ("mean",))
    deltas = {"w": np.array([10.0]), "mean": np.array([10.0])}, {"w": np.array([1.0]), "mean": np.array([1.0])}
    about = report("a", steps=10), report("b", steps=1)
    updates = [update_of(delta, one, ("mean",)) for delta, one in zip(deltas, about, strict=True)]
    found = load(round_of(base, updates, Averaging(normalize_steps=True)).average()["model"])[1]
    assert found["w"] == pytest.approx(5.5)  # steps of 1 each, times the mean number of steps
    assert found["mean"] == pytest.approx(5.5)  # statistics take the plain mean
    plain = load(round_of(base, updates).average()["model"])[1]
    assert plain["w"] == plain["mean"] == pytest.approx(5.5)
    back = {"w": np.array([-1.0]), "mean": np.array([-1.0])}
    longer = [update_of(delta, one, ("mean",)) for delta, one in zip((deltas[0], back), about, strict=True)]
    found = load(round_of(base, longer, Averaging(normalize_steps=True)).average()["model"])[1]
    assert found["w"] == pytest.approx(0.0)
    assert found["mean"] == pytest.approx(4.5)


# ---- Rules that see all clients


@pytest.mark.parametrize("settings", [Averaging(rule="median"), Averaging(rule="trimmed_mean", trim=0.2)])
def test_robust_rules_are_not_moved_by_a_liar(settings: Averaging) -> None:
    honest = [np.full((3, 2), 1.0 + i / 10) for i in range(4)]
    base, updates = flat([*honest, np.full((3, 2), 1e9)])
    found = w_of(round_of(base, updates, settings, elements=4).average())
    assert ((found >= 1.0) & (found <= 1.3)).all()


def test_robust_rules_do_the_same_to_counters() -> None:
    base = model({"n": np.array([5], "<i8")}, {"n": "I64"})
    updates = [update_of({"n": np.array([by])}, report(f"t{by}")) for by in (1, 2, 1_000_000)]
    assert load(round_of(base, updates, Averaging(rule="median")).average()["model"])[1]["n"] == [7]


# ---- The server's optimizer, and the average of models


def test_the_optimizer_moves_parameters_only_and_keeps_its_state() -> None:
    base = model(
        {"w": np.zeros(2, "<f4"), "mean": np.zeros(1, "<f4"), "n": np.array([0], "<i8")},
        {"w": "F32", "mean": "F32", "n": "I64"},
        ("mean",),
    )
    update = update_of({"w": np.ones(2), "mean": np.ones(1), "n": np.array([4])}, report(), ("mean",))
    settings = Averaging(optimizer=FedAvgM(beta=0.5))
    first = round_of(base, [update], settings).average()
    second = round_of(first["model"], [update], settings, before={"optimizer": first["optimizer"]}).average()
    found = load(second["model"])[1]
    assert found["w"].tolist() == [2.5, 2.5]  # 1, and then 0.5 * 1 + 1
    assert (found["mean"].tolist(), found["n"].tolist()) == ([2.0], [8])
    state_header, state = load(second["optimizer"])
    assert state["00000.0"][:2].tolist() == [1.5, 1.5]
    assert decode(state_header.message, ModelHeader).round == 2


def test_an_average_of_the_models_is_kept_beside_them() -> None:
    base = model({"w": np.array([1.0], "<f4"), "n": np.array([1], "<i8")}, {"w": "F32", "n": "I64"})
    update = update_of({"w": np.array([1.0]), "n": np.array([1])}, report())
    settings = Averaging(ema=0.75)
    first = round_of(base, [update], settings).average()
    assert load(first["ema"])[1]["w"] == [0.75 * 1 + 0.25 * 2]  # it begins with the first model
    second = round_of(first["model"], [update], settings, before={"ema": first["ema"]}).average()
    header, found = load(second["ema"])
    assert found["w"] == [0.75 * 1.25 + 0.25 * 3]
    assert found["n"] == [3]
    assert header == load(second["model"])[0]


def test_a_learning_rate_of_the_server_scales_the_change() -> None:
    base, updates = flat([np.array([1.0])])
    assert w_of(round_of(base, updates, Averaging(optimizer=FedAvg(learning_rate=0.5))).average()) == [0.5]


# ---- What becomes of each dtype


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("shape", [(3,), (2, 2), (), (0,)])
def test_floating_tensors_keep_their_dtype_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    base = model({"w": from_float32(np.full(shape, 1.5, np.float32), dtype)}, {"w": dtype})
    updates = [update_of({"w": np.full(shape, 0.25)}, report(thing)) for thing in "ab"]
    header, arrays = load(round_of(base, updates).average()["model"])
    assert header.schema == load(base)[0].schema
    assert np.array_equal(to_float32(arrays["w"], dtype), np.full(shape, 1.75, np.float32))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_two_byte_floats_are_rounded_from_the_exact_sum(dtype: str) -> None:
    generator = np.random.default_rng(2)
    stored = from_float32(generator.normal(size=1000).astype(np.float32), dtype)
    delta = generator.normal(scale=0.01, size=1000).astype(np.float32)
    base = model({"w": stored}, {"w": dtype})
    found = w_of(round_of(base, [update_of({"w": delta}, report())]).average())
    exact = to_float32(stored, dtype).astype(np.float64) + delta
    assert found.tobytes() == from_float32(exact.astype(np.float32), dtype).tobytes()


@pytest.mark.parametrize(("dtype", "value"), [("BF16", 3.4e38), ("F32", 3.4e38)])
@pytest.mark.parametrize("shape", [(3,), ()])
def test_a_model_never_gets_values_that_its_dtype_cannot_hold(dtype: str, value: float, shape: tuple[int, ...]) -> None:
    held = from_float32(np.full(shape, 3e38, np.float32), dtype)
    a_round = round_of(model({"w": held}, {"w": dtype}), [update_of({"w": np.full(shape, value)}, report())])
    with pytest.raises(NotFiniteModelError, match=f"'w' has values that {dtype} can't hold"):
        a_round.average()


@pytest.mark.parametrize("optimizer", [FedAvg(), FedAvgM(learning_rate=100.0)])
@pytest.mark.parametrize("kind", ["parameter", "buffer"])
@pytest.mark.parametrize("sign", [1, -1])
def test_float16_keeps_its_largest_value_where_the_sum_is_larger(
    optimizer: ServerOptimizer, kind: str, sign: int
) -> None:
    base = model({"w": np.array([65_000 * sign, 1.0], "<f2")}, {"w": "F16"}, ("w",) if kind == "buffer" else ())
    a_round = round_of(
        base, [update_of({"w": np.array([4096.0 * sign, 0.0])}, report())], Averaging(optimizer=optimizer)
    )
    np.testing.assert_array_equal(w_of(a_round.average()), [65_504 * sign, 1.0])
    assert a_round.saturated == {"w"}


def test_what_is_not_finite_is_found_in_the_sum() -> None:
    for bad in (math.inf, -math.inf, math.nan):
        base, updates = flat([np.array([0.0, bad]), np.array([1.0, math.inf])])
        with pytest.raises(NotFiniteModelError, match="'w'"):
            round_of(base, updates).average()


def test_the_new_model_says_which_round_made_it() -> None:
    base = mixed_model()
    header = load(round_of(base, updates_to(base, 2)).average()["model"])[0]
    about = decode(header.message, ModelHeader)
    assert (about.round, about.buffers, about.federation) == (1, ("mean",), "f")


@pytest.mark.parametrize("dtype", ["I64", "I32", "I16", "I8", "U8"])
def test_integers_are_rounded_and_kept_in_range(dtype: str) -> None:
    limits = np.iinfo(DTYPES[dtype].name)
    values = np.array([10, 10, 10, 10, limits.max, limits.min], DTYPES[dtype])
    a_round = round_of(model({"n": values}, {"n": dtype}), [update_of({"n": np.zeros(6, "<i8")}, report())])
    change = WholeChange({"n": np.array([0.4, 0.5, 1.5, -0.6, 5.0, -5.0])})
    found = load(a_round.average(change=change)["model"])[1]["n"]
    assert found.dtype == DTYPES[dtype]
    assert found.tolist() == [10, 10, 12, 9, limits.max, limits.min]


@given(
    st.sampled_from(["I64", "I32", "I16", "I8", "U8"]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_an_integer_never_wraps_around(dtype: str, value: int, delta: int) -> None:
    limits = np.iinfo(DTYPES[dtype].name)
    value = max(limits.min, min(limits.max, value))
    base = model({"n": np.array(value, DTYPES[dtype])}, {"n": dtype})
    found = round_of(base, [update_of({"n": np.array(delta)}, report())], Averaging(rule="mean")).average()
    result = int(load(found["model"])[1]["n"])
    assert limits.min <= result <= limits.max
    assert (result >= value) == (delta >= 0) or result == value
    if abs(delta) < 2**53:
        assert result == max(limits.min, min(limits.max, value + delta))


def test_a_counter_counts_on_beyond_what_a_float_holds() -> None:
    value = 2**60 + 1
    base = model({"n": np.array(value, "<i8")}, {"n": "I64"})
    updates = [update_of({"n": np.array(by)}, report(f"t{by}")) for by in (4, 6)]
    assert int(load(round_of(base, updates).average()["model"])[1]["n"]) == value + 5


def test_a_boolean_becomes_what_most_clients_have() -> None:
    base = model({"b": np.array([True, True, False, False])}, {"b": "BOOL"})
    deltas = [np.array([0, -1, 0, 1])] * 2 + [np.array([-1, 0, 1, 0])]
    updates = [update_of({"b": delta}, report(f"t{i}")) for i, delta in enumerate(deltas)]
    found = load(round_of(base, updates, Averaging(rule="mean")).average()["model"])[1]["b"]
    assert found.dtype == np.bool_
    assert found.tolist() == [True, False, False, True]


def test_a_round_of_no_change_leaves_the_model_as_it_is() -> None:
    base = mixed_model()
    nothing = {
        tensor.name: np.zeros(tensor.shape, "<f4" if tensor.dtype.startswith(("F", "BF")) else "<i8")
        for tensor in load(base)[0].tensors
    }
    first = round_of(base, [update_of(nothing, report())], part_bytes=100, elements=7).average(2)["model"]
    header, arrays = load(first)
    assert header.schema == load(base)[0].schema
    assert all(arrays[name].tobytes() == array.tobytes() for name, array in load(base)[1].items())


def test_a_float64_model_keeps_its_precision() -> None:
    value, space = np.array([1.0 + 2**-40]), np.zeros(1)
    store("F64", value, space)
    assert space == value


# ---- Metrics


def test_metrics_are_averaged_by_examples() -> None:
    reports = [
        report("a", examples=1, before={"loss": 4.0}, after={"loss": 1.0, "accuracy": 0.5}),
        report("b", examples=3, before={"loss": 8.0}, after={"loss": 2.0}),
    ]
    expected = {"loss_before": 7.0, "loss_after": 1.75, "accuracy_after": 0.5}
    pooled = pooled_metrics(Averaging(), reports)
    assert pooled.metrics == pytest.approx(expected)
    assert pooled.not_finite == {}
    assert pooled_metrics(Averaging(), []).metrics == {}


def test_metrics_that_are_not_finite_are_counted_beside_the_mean_of_those_that_are() -> None:
    reports = [
        report("a", examples=1, before={"loss": None}, after={"loss": None, "accuracy": 0.5}),
        report("b", examples=3, before={"loss": None}, after={"loss": 2.0}),
        report("c", examples=1, before={"loss": None}, after={"loss": 6.0}),
    ]
    pooled = pooled_metrics(Averaging(), reports)
    assert pooled.metrics == {"accuracy_after": 0.5, "loss_after": 3.0}
    assert pooled.not_finite == {"loss_before": 3, "loss_after": 1}


def test_the_mean_of_metrics_near_the_largest_float_is_one_that_can_be_recorded() -> None:
    largest = float(np.finfo(np.float64).max)
    for values in ([largest] * 3, [largest, -largest, largest], [1e308]):
        reports = [report(f"t{n}", examples=7, after={"loss": value}) for n, value in enumerate(values)]
        pooled = pooled_metrics(Averaging(), reports)
        assert min(values) <= pooled.metrics["loss_after"] <= max(values)
        assert pooled.not_finite == {}
        assert msgspec.json.decode(msgspec.json.encode(pooled), type=Pooled) == pooled


def test_made_up_metrics_do_not_displace_those_that_most_clients_report_nor_make_a_round_large() -> None:
    made_up = [report(f"bad{n}", after={f"{n}-{m:0>50}": 1.0 for m in range(500)}) for n in range(3)]
    made_up += [report("nan", after={f"nan-{m:0>50}": None for m in range(500)})]
    long = report("long", after={"x" * (MAX_METRIC_NAME + 1): 1.0})
    good = [report(f"good{n}", before={"loss": None}, after={"loss": 0.5}) for n in range(2)]
    pooled = pooled_metrics(Averaging(), [*made_up, long, *good])
    metrics, not_finite = pooled.metrics, pooled.not_finite
    assert (not_finite["loss_before"], metrics["loss_after"]) == (2, 0.5)
    assert len(metrics.keys() | not_finite.keys()) == MAX_METRICS
    assert len(msgspec.json.encode((metrics, not_finite))) < MAX_MESSAGE_BYTES
