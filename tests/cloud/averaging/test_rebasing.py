"""Buffers and integers of updates are values: late ones are rebased, and no mean leaves the range of its values."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averaging.accepted_updates import S3Object
from cloud.averaging.rebasing import Base, BaseReader, rebased_buffers, rebased_integers
from cloud.averaging.rules.custom import custom_change
from cloud.averaging.sums import GROUP
from cloud.averaging.update_tensors import base_values, read_updates
from cloud.settings import Averaging, FedAdam, FedAvgM, RuleName
from fedgrass.policies import Update
from protocol.messages import Encoding, ModelHeader, encode
from protocol.tensors import Array, dump, load, parse_header, to_float32
from simulation.averaging import MemoryReader, Round
from tests.cloud.averaged import round_of
from tests.cloud.examples import report, update_of

DTYPES = {
    "w": "F32",
    "half": "F16",
    "bn.running_mean": "F32",
    "bn.running_var": "F32",
    "brain.running_var": "BF16",
    "double.running_var": "F64",
    "mask": "F32",
    "id": "I64",
    "bn.num_batches_tracked": "I64",
    "flag": "BOOL",
}
BUFFERS = ("bn.running_mean", "bn.running_var", "brain.running_var", "double.running_var", "mask")
ENCODINGS: list[Encoding] = ["float32", "bfloat16", "int8"]
BIG = 2**62 + 1


def model(w: float, mean: float, variance: float, batches: int, *, flag: bool = True, number: int = 0) -> bytes:
    """A model whose variances are exact in bfloat16, so that all dtypes have the same."""
    arrays: dict[str, Array] = {
        "w": np.full((3, 5), w, "<f4"),
        "half": np.full(7, w, "<f2"),
        "bn.running_mean": np.full(4, mean, "<f4"),
        "bn.running_var": np.full(4, variance, "<f4"),
        "brain.running_var": (np.full(3, variance, "<f4").view("<u4") >> 16).astype("<u2"),
        "double.running_var": np.full(2, variance, "<f8"),
        "mask": np.array([0.0, -np.inf, np.inf], "<f4"),
        "id": np.array([BIG, -BIG], "<i8"),
        "bn.num_batches_tracked": np.array(batches, "<i8"),
        "flag": np.array([flag, not flag]),
    }
    about = ModelHeader(federation="f", round=number, buffers=BUFFERS)
    return dump(arrays, DTYPES, encode(about), BUFFERS)


def values_of(file: bytes) -> dict[str, Any]:
    header, arrays = load(file)
    return {
        tensor.name: to_float32(arrays[tensor.name], "BF16") if tensor.dtype == "BF16" else arrays[tensor.name]
        for tensor in header.tensors
    }


def trained(base: bytes, local: bytes, thing: str, encoding: Encoding = "float32", **changes: Any) -> bytes:
    """The update of a device that made this local model from a base."""
    from_, to = values_of(base), values_of(local)
    delta: dict[str, Array] = {}
    for tensor in load(base)[0].tensors:
        before, after = from_[tensor.name], to[tensor.name]
        if tensor.dtype in ("I64", "BOOL"):
            delta[tensor.name] = after.astype(np.int64) - before.astype(np.int64)
        else:
            moved = np.subtract(after, before, dtype=np.float64, where=after != before, out=np.zeros(after.shape))
            delta[tensor.name] = moved.astype(np.float32)
    return update_of(delta, report(thing, encoding=encoding, **changes), BUFFERS)


OLD = model(1.0, 0.0, 1.0, 10)
PRESENT = model(2.0, 5.0, 0.0625, 20, flag=False, number=3)
FAST = model(2.5, 6.0, 0.03125, 25, flag=False)
"""What a device made of the present model."""
SLOW = model(0.0, 4.0, 0.015625, 12, flag=True)
"""What another made of the old one: to add its change of -0.98 to the present variance would make that negative."""


def late(rule: RuleName = "mean", age: int = 3, **changes: Any) -> Round:
    encoding = changes.pop("encoding", "float32")
    updates = [trained(PRESENT, FAST, "fast", encoding), trained(OLD, SLOW, "slow", encoding)]
    return round_of(
        PRESENT,
        updates,
        Averaging(rule=rule, **changes),
        bases=[OLD],
        trained_from={"slow": 1},
        ages={"slow": age},
        elements=7,
        part_bytes=64,
    )


def mean_of(values: Sequence[float], ages: Sequence[int] = (0, 3)) -> float:
    return float(np.average(np.array(values, np.float64), weights=[1 / math.sqrt(1 + age) for age in ages]))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_values_of_a_late_update_are_those_that_its_device_has(encoding: Encoding) -> None:
    a_round = late(encoding=encoding)
    found = values_of(a_round.average()["model"])
    variance = mean_of([0.03125, 0.015625])
    for name in ("bn.running_var", "brain.running_var", "double.running_var"):
        np.testing.assert_allclose(found[name], variance, rtol=2**-8 if name.startswith("brain") else 1e-7)
    np.testing.assert_allclose(found["bn.running_mean"], mean_of([6.0, 4.0]), rtol=1e-7)
    assert found["bn.num_batches_tracked"] == round(mean_of([25, 12]))
    assert found["id"].tolist() == [BIG, -BIG]
    assert found["mask"].tolist() == [0.0, -math.inf, math.inf]
    assert found["flag"].tolist() == [False, True]  # two thirds of the weight say so
    np.testing.assert_allclose(found["w"], 2.0 + mean_of([0.5, -1.0]), rtol=1e-2 if encoding == "int8" else 1e-6)
    assert a_round.negative == set()


def test_updates_to_the_present_model_are_averaged_as_if_there_were_no_late_ones() -> None:
    updates = [trained(PRESENT, FAST, thing) for thing in "ab"]
    assert round_of(PRESENT, updates, bases=[OLD]).average() == round_of(PRESENT, updates).average()


@pytest.mark.parametrize("rule", ["median", "trimmed_mean"])
def test_rules_that_see_all_clients_see_the_values_of_late_ones(rule: RuleName) -> None:
    locals_ = [model(2.0, mean, variance, 20, flag=False) for mean, variance in ((1.0, 0.5), (2.0, 0.25), (9.0, 8.0))]
    updates = [trained(OLD, local, f"t{number}") for number, local in enumerate(locals_)]
    a_round = round_of(
        PRESENT,
        updates,
        Averaging(rule=rule, trim=0.34),
        bases=[OLD],
        trained_from={f"t{number}": 1 for number in range(3)},
    )
    found = values_of(a_round.average()["model"])
    assert found["bn.running_var"].tolist() == [0.5] * 4
    assert found["double.running_var"].tolist() == [0.5] * 2
    assert found["bn.running_mean"].tolist() == [2.0] * 4


def test_krum_keeps_a_late_update_for_its_parameters_and_takes_its_values() -> None:
    strays = [trained(PRESENT, model(80.0 * way, 0.0, 1.0, 20), f"stray{way}") for way in (1, 2)]
    slow = [trained(OLD, SLOW, f"slow{number}") for number in range(3)]
    a_round = round_of(
        PRESENT,
        [*strays, *slow],
        Averaging(rule="krum", byzantine=1),
        bases=[OLD],
        trained_from={f"slow{number}": 1 for number in range(3)},
        norms={f"stray{way}": 1e4 for way in (1, 2)} | {f"slow{number}": 1e3 for number in range(3)},
    )
    found = values_of(a_round.average()["model"])
    assert found["bn.running_var"].tolist() == [0.015625] * 4
    assert found["w"].flatten().tolist() == [1.0] * 15


def test_krum_measures_distances_of_parameters_alone() -> None:
    """By its statistics this client would be far from all the others."""
    alone = trained(PRESENT, model(2.0, 1e6, 4096.0, 20), "a")
    others = [trained(PRESENT, model(2.0 + by, 5.0, 0.0625, 20), f"b{by}") for by in (1.0, -1.0, 2.0)]
    a_round = round_of(PRESENT, [alone, *others], Averaging(rule="krum", byzantine=1), norms=dict.fromkeys("a", 1.0))
    assert a_round.chosen() == [0]


def test_one_s_own_rule_gets_the_values_of_late_updates() -> None:
    a_round = late()
    blocks = a_round.blocks(a_round.grid.parts)
    headers = [parse_header(file, len(file)) for file in (PRESENT, OLD)]
    data = [file[header.length :] for file, header in zip((PRESENT, OLD), headers, strict=True)]
    bases = [Base(S3Object(key="", data_start=0), header.by_name) for header in headers]
    models = BaseReader(MemoryReader(data), bases, blocks).whole(blocks)

    def of_the_late_one(updates: Any, model: dict[str, Array]) -> dict[str, Array]:
        (found,) = [update for update in updates if update.age]
        assert isinstance(found, Update)
        return {name: found.delta[name] if name in found.delta else 0 * model[name] for name in model}

    updates = read_updates(a_round.layout, a_round.reader, a_round.sources, models)
    change = custom_change(of_the_late_one, updates, base_values(PRESENT))
    now = values_of(PRESENT)
    assert (now["bn.running_var"] + change["bn.running_var"]).tolist() == [0.015625] * 4
    assert (now["id"] + change["id"]).tolist() == [BIG, -BIG]
    assert change["w"].flatten().tolist() == [-1.0] * 15  # a step, from wherever


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_values_whose_base_is_gone_are_left_out(rule: RuleName) -> None:
    updates = [trained(PRESENT, FAST, "fast"), trained(OLD, SLOW, "slow")]
    gone = round_of(PRESENT, updates, Averaging(rule=rule), trained_from={"slow": None})
    found = values_of(gone.average()["model"])
    assert found["bn.running_var"].tolist() == [0.03125] * 4
    assert found["bn.num_batches_tracked"] == 25
    assert found["w"].flatten().tolist() == [1.75] * 15  # steps count


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed_mean"])
def test_if_no_update_has_a_base_the_values_stay_as_they_are(rule: RuleName) -> None:
    a_round = round_of(PRESENT, [trained(OLD, SLOW, "slow")], Averaging(rule=rule), trained_from={"slow": None})
    found, before = values_of(a_round.average()["model"]), values_of(PRESENT)
    for name in (*BUFFERS, "id", "bn.num_batches_tracked", "flag"):
        assert found[name].tolist() == before[name].tolist()


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, None]), st.floats(0, 4, width=32)), min_size=5, max_size=5),
    st.integers(1, 9),
    st.integers(1, 90),
    st.sampled_from(["mean", "median"]),
)
def test_with_late_updates_too_neither_shards_nor_blocks_change_a_bit(
    clients: list[tuple[int | None, float]], shards: int, elements: int, rule: RuleName
) -> None:
    models = [PRESENT, OLD, FAST]
    updates = [
        trained(models[base or 0], model(1.0, value, value, 30), f"t{number}")
        for number, (base, value) in enumerate(clients)
    ]
    trained_from = {f"t{number}": base for number, (base, _) in enumerate(clients)}
    made = [
        round_of(
            PRESENT,
            updates,
            Averaging(rule=rule, optimizer=FedAdam(), ema=0.5),
            elements=size,
            part_bytes=64,
            bases=models[1:],
            trained_from=trained_from,
        )
        for size in (10_000, elements)
    ]
    assert made[0].average() == made[1].average(shards)


def test_a_second_level_of_sums_changes_no_bit_of_rounds_with_late_updates() -> None:
    count = 2 * GROUP + 5
    locals_ = [model(1.0, number / 7, number / 3 + 0.01, 30 + number) for number in range(count)]
    updates = [trained(OLD if n % 2 else PRESENT, one, f"t{n:03d}", examples=1 + n) for n, one in enumerate(locals_)]
    a_round = round_of(
        PRESENT,
        updates,
        bases=[OLD],
        trained_from={f"t{n:03d}": n % 2 if n % 5 else None for n in range(count)},
        elements=11,
        part_bytes=64,
    )
    assert a_round.average(3, summed=True) == a_round.average()


@given(
    st.lists(st.tuples(st.floats(0, 2**20, width=32), st.integers(1, 1000)), min_size=1, max_size=40),
    st.floats(0, 2**20, width=32),
    st.floats(0, 2**20, width=32),
    st.sampled_from(["mean", "weighted", "median", "trimmed_mean"]),
)
def test_the_mean_of_variances_is_never_negative(
    clients: list[tuple[float, int]], present: float, base: float, rule: RuleName
) -> None:
    """Weights don't add up to exactly 1, and differences are rounded: whatever comes of it, no value is below zero."""

    def variances(value: float) -> bytes:
        arrays: dict[str, Array] = {"bn.running_var": np.array([value], "<f4"), "d.running_var": np.array([value / 3])}
        about = ModelHeader(federation="f", round=0, buffers=("bn.running_var", "d.running_var"))
        return dump(arrays, {"bn.running_var": "F32", "d.running_var": "F64"}, encode(about), about.buffers)

    names = ("d.running_var", "bn.running_var")
    updates = []
    for number, (value, examples) in enumerate(clients):
        start = base if number % 2 else present
        of_double = np.array([value / 3 - start / 3])
        rounded = of_double.astype("<f4")
        beyond = np.abs(rounded.astype(np.float64)) > np.abs(of_double)
        delta: dict[str, Array] = {
            "d.running_var": np.where(beyond, np.nextafter(rounded, np.float32(0)), rounded),
            "bn.running_var": np.array([value], "<f4") - np.array([start], "<f4"),
        }
        updates.append(update_of(delta, report(f"t{number:02d}", examples=examples), names))
    a_round = round_of(
        variances(present),
        updates,
        Averaging(rule=rule, trim=0.2),
        bases=[variances(base)],
        trained_from={f"t{number:02d}": number % 2 for number in range(len(clients))},
    )
    found = load(a_round.average()["model"])[1]
    values = [value for value, _ in clients]
    for name, by in (("bn.running_var", 1), ("d.running_var", 3)):
        rounding = 1e-6 * (present + base) + np.finfo(np.float32).tiny  # a difference may be too small for float32
        least, largest = min(values) / by, max(values) / by
        assert least * (1 - 1e-6) - rounding <= found[name][0] <= largest * (1 + 1e-6) + rounding
        assert found[name][0] >= 0
    assert a_round.negative == set()


def test_equal_infinities_are_no_change_and_others_none_that_is_hidden() -> None:
    infinite = np.array([np.inf, -np.inf, 1.0])
    changes = np.zeros(3, np.float32)
    assert rebased_buffers(changes, infinite, infinite).tolist() == [0, 0, 0]
    assert rebased_buffers(changes, np.array([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 4.0])).tolist() == [1, 0, -2]


@given(*[st.integers(-(2**60), 2**60)] * 3)
def test_integers_are_rebased_exactly(local: int, base: int, present: int) -> None:
    one = [np.array([number], np.int64) for number in (local - base, base, present)]
    assert rebased_integers(*one).tolist() == [local - present]


# ---- What scales steps, and what finds what is wrong


def test_neither_clipping_nor_steps_nor_the_servers_optimizer_touch_values() -> None:
    settings = Averaging(
        rule="mean", clip_norm=1e-3, normalize_steps=True, optimizer=FedAvgM(learning_rate=0.5, beta=0.9)
    )
    updates = [trained(PRESENT, FAST, "a", steps=1), trained(PRESENT, FAST, "b", steps=9)]
    found = values_of(round_of(PRESENT, updates, settings, norms={"a": 2.0, "b": 2.0}).average()["model"])
    assert found["bn.running_var"].tolist() == [0.03125] * 4
    assert found["bn.running_mean"].tolist() == [6.0] * 4
    assert found["bn.num_batches_tracked"] == 25
    assert np.abs(found["w"] - 2.0).max() < 1e-2


@pytest.mark.parametrize("shards", [1, 4])
def test_a_new_model_with_a_negative_variance_is_found(shards: int) -> None:
    bad = model(2.0, -3.0, 0.0625, 20)
    delta = {
        name: np.zeros_like(value, "<f4" if name not in ("id", "bn.num_batches_tracked", "flag") else "<i8")
        for name, value in values_of(bad).items()
    }
    delta["bn.running_var"] = np.array([0, 0, -1, 0], "<f4")
    delta["double.running_var"] = np.array([0, -1], "<f4")
    delta["bn.running_mean"] -= 100  # which may be negative
    a_round = round_of(PRESENT, [update_of(delta, report(), BUFFERS)], elements=3, part_bytes=32)
    a_round.average(shards)
    assert a_round.negative == {"bn.running_var", "double.running_var"}


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("running_var", True),
        ("features.3.running_var", True),
        ("bn_moving_variance", True),
        ("layer.runningVar", True),
        ("norm.running_std", True),
        ("running_mean", False),
        ("running_covar", False),
        ("var", False),
        ("running_var.ema", False),
    ],
)
def test_variances_are_known_by_the_names_that_normalizations_give_them(name: str, is_one: bool) -> None:
    base = dump({name: np.ones(2, "<f4")}, {name: "F32"}, encode(ModelHeader(federation="f", round=0, buffers=(name,))))
    a_round = round_of(base, [update_of({name: np.array([0.0, -2.0], "<f4")}, report(), (name,))])
    a_round.average()
    assert a_round.negative == ({name} if is_one else set())


def test_a_parameter_that_is_called_a_variance_is_none() -> None:
    base = dump(
        {"running_var": np.ones(2, "<f4")}, {"running_var": "F32"}, encode(ModelHeader(federation="f", round=0))
    )
    a_round = round_of(base, [update_of({"running_var": np.array([0.0, -2.0], "<f4")}, report())])
    a_round.average()
    assert a_round.negative == set()
