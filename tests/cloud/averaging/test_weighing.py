"""cloud/averaging/weighing.py: how much a client's own word can do."""

from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.round.pooled_metrics import pooled_metrics
from cloud.averaging.accepted_updates import AcceptedUpdate, S3Object
from cloud.averaging.weighing import EXAMPLES_RATIO, STEPS_RATIO, weigh
from cloud.averaging.weights import Weighing
from cloud.settings import Averaging, RuleName
from protocol.messages import MAX_INTEGER, Training
from tests.cloud.averaged import round_of
from tests.cloud.averaging.test_averaging import flat, w_of
from tests.cloud.examples import report, update_of

TRAINING = Training(epochs=2, batch_size=10, learning_rate=0.1)
RULES: list[RuleName] = ["mean", "weighted", "median", "trimmed_mean", "krum", "multi_krum"]
ROBUST: list[RuleName] = ["median", "trimmed_mean", "krum", "multi_krum"]


def source(thing: str, norm: float = 1.0, **claims: Any) -> AcceptedUpdate:
    return AcceptedUpdate(
        thing=thing, report=report(thing, **claims), norm=norm, stored=S3Object(key=thing, data_start=0)
    )


def weighed(claims: list[dict[str, Any]], **settings: Any) -> Weighing:
    sources = [source(f"t{number}", **one) for number, one in enumerate(claims)]
    return weigh(Averaging(**settings), TRAINING, sources)


HONEST = {"examples": 100, "steps": 20}


@pytest.mark.parametrize("lie", [{"examples": MAX_INTEGER}, {"steps": MAX_INTEGER}, {"steps": 1}, {"examples": 1}])
@pytest.mark.parametrize("rule", RULES)
def test_what_one_client_claims_scales_no_honest_update(rule: RuleName, lie: dict[str, int]) -> None:
    claims = [HONEST, HONEST, HONEST | lie, HONEST]
    found = weighed(claims, rule=rule, normalize_steps=True)
    assert found.scales[[0, 1, 3]].tolist() == [1.0, 1.0, 1.0]
    assert 1 / STEPS_RATIO <= found.scales[2] <= STEPS_RATIO


def test_steps_are_no_more_than_the_settings_give_for_the_examples() -> None:
    claims = [HONEST, HONEST | {"steps": MAX_INTEGER}, HONEST]
    assert weighed(claims, rule="mean", normalize_steps=True).scales.tolist() == [1.0, 1.0, 1.0]


CLAIM = st.integers(1, MAX_INTEGER)


@given(
    st.lists(st.tuples(CLAIM, CLAIM, st.floats(0, 1e38)), min_size=1, max_size=9),
    st.floats(1e-6, 1e6),
    st.sampled_from(RULES),
)
def test_clipping_comes_last_whatever_is_claimed(
    clients: list[tuple[int, int, float]], limit: float, rule: RuleName
) -> None:
    claims = [{"examples": examples, "steps": steps, "norm": norm} for examples, steps, norm in clients]
    found = weighed(claims, rule=rule, normalize_steps=True, clip_norm=limit)
    assert (found.norms <= limit * (1 + 1e-12)).all()
    assert np.isfinite(found.scales).all()
    np.testing.assert_allclose(found.norms, found.scales * [norm for _, _, norm in clients])


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("claims", [{"steps": MAX_INTEGER}, {"steps": 1}, {"examples": MAX_INTEGER}])
def test_robust_rules_take_no_ones_word(rule: RuleName, claims: dict[str, int]) -> None:
    generator = np.random.default_rng(0)
    deltas = [generator.normal(size=20) for _ in range(7)]
    base, honest = flat(deltas, [100] * 7)
    lying = [*honest[:3], update_of({"w": deltas[3]}, report("t003", examples=100) if not claims else _lie(claims))]
    settings = Averaging(rule=rule, normalize_steps=True, clip_norm=2.0)
    norms = {f"t{number:03d}": float(np.linalg.norm(delta)) for number, delta in enumerate(deltas)}
    expected = round_of(base, honest, settings, norms=norms).average()
    assert round_of(base, [*lying, *honest[4:]], settings, norms=norms).average() == expected


def _lie(claims: dict[str, int]) -> Any:
    return report("t003", **{"examples": 100} | claims)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=12), st.integers(1, MAX_INTEGER))
def test_no_client_counts_for_more_than_ten_times_the_median(honest: list[int], lie: int) -> None:
    weights = weighed([{"examples": count} for count in (*honest, lie)], rule="weighted").weights
    assert weights[-1] <= EXAMPLES_RATIO * max(honest)
    assert (weights[:-1] <= honest).all()


def test_among_examples_that_do_not_differ_much_nothing_is_cut() -> None:
    assert weighed([{"examples": count} for count in (10, 40, 100)], rule="weighted").weights.tolist() == [10, 40, 100]


def test_the_examples_that_count_are_as_many_as_the_settings_allow() -> None:
    claims = [{"examples": count} for count in (10, 40, 10_000)]
    assert weighed(claims, rule="weighted", max_examples=50).weights.tolist() == [10, 40, 50]
    assert weighed(claims, rule="weighted", max_examples=20_000).weights.tolist() == [10, 40, 10_000]


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("summed", [False, True])
def test_a_lie_gives_the_same_bits_in_any_number_of_shards(shards: int, summed: bool) -> None:
    deltas = [np.random.default_rng(number).normal(size=50) for number in range(70)]
    base, updates = flat(deltas, [100] * 69 + [MAX_INTEGER])
    once = round_of(base, updates, part_bytes=64).average()
    assert round_of(base, updates, part_bytes=64).average(shards, summed=summed) == once
    assert (np.abs(w_of(once)) < np.abs(deltas).max()).all()


# ---- What is published


def test_a_client_that_claims_all_examples_makes_no_metric_its_own() -> None:
    honest = [report(f"t{number}", examples=100, after={"accuracy": 0.9}) for number in range(20)]
    liar = report("z", examples=MAX_INTEGER, after={"accuracy": 0.0})
    metrics = pooled_metrics(Averaging(), [*honest, liar]).metrics
    assert metrics["accuracy_after"] == pytest.approx(0.9 * 20 / 30)


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 0.0])
def test_metrics_of_robust_rules_are_medians(rule: Literal["median", "krum"], value: float) -> None:
    honest = [report(f"t{number}", after={"loss": 1.0 + number / 10}) for number in range(4)]
    liar = report("z", examples=MAX_INTEGER, after={"loss": value})
    metrics = pooled_metrics(Averaging(rule=rule), [*honest, liar]).metrics
    assert 1.0 <= metrics["loss_after"] <= 1.3


def test_the_median_of_two_metrics_near_the_largest_float_is_finite() -> None:
    reports = [report(thing, after={"loss": 1.7e308}) for thing in "ab"] + [report("c", after={"loss": 1.6e308})] * 2
    metrics = pooled_metrics(Averaging(rule="median"), reports).metrics
    assert metrics["loss_after"] == pytest.approx(1.65e308)


@pytest.mark.parametrize("rule", ["mean", "weighted"])
def test_an_update_is_weighed_by_the_inverse_of_the_probability_of_its_client(rule: RuleName) -> None:
    sources = [
        source("a", **HONEST),
        msgspec.structs.replace(source("b", **HONEST), inclusion=0.25),
        msgspec.structs.replace(source("c", **HONEST), inclusion=0.5, age=3),
    ]
    found = weigh(Averaging(rule=rule), TRAINING, sources)
    assert found.weights / found.weights[0] == pytest.approx([1, 4, 1])
    assert found.value_weights == pytest.approx(found.weights)
    assert found.scales == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("rule", ROBUST)
def test_robust_rules_take_no_weights_from_the_draw(rule: RuleName) -> None:
    sources = [msgspec.structs.replace(source(f"t{n}", **HONEST), inclusion=1 / (n + 1)) for n in range(5)]
    assert set(weigh(Averaging(rule=rule), TRAINING, sources).weights) == {1.0}


def test_metrics_are_weighed_as_updates_are() -> None:
    reports = [report(f"t{n}", before={"accuracy": value}, **HONEST) for n, value in enumerate([0.0, 1.0])]
    assert pooled_metrics(Averaging(), reports, [0.25, 0.75]).metrics == {"accuracy_before": pytest.approx(0.25)}
    assert pooled_metrics(Averaging(rule="median"), reports, [0.25, 0.75]).metrics == {"accuracy_before": 0.5}
