"""Counters: values that no norm and no distance sees, and that one client must not make its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averaging.sums import GROUP
from cloud.averaging.weighing import INTEGER_RATIO
from cloud.settings import Averaging, RuleName
from protocol.messages import MAX_INTEGER
from protocol.tensors import load
from tests.cloud.averaged import round_of
from tests.cloud.averaging.test_averaging import model
from tests.cloud.examples import report, update_of

BASE = model(
    {"w": np.zeros(4, "<f4"), "mean": np.ones(2, "<f4"), "n": np.array([10, 20], "<i8")},
    {"w": "F32", "mean": "F32", "n": "I64"},
    ("mean",),
)
HUGE = 2**62
MEANS: list[RuleName] = ["mean", "weighted"]
ROBUST: list[RuleName] = ["median", "trimmed_mean", "krum", "multi_krum"]


def averaged(
    rule: RuleName, changes: Mapping[str, int], buffers: Mapping[str, float] | None = None, **options: Any
) -> Any:
    """The new model; all clients have the same parameters."""
    updates = [
        update_of(
            {"w": np.full(4, 0.5), "mean": np.full(2, (buffers or {}).get(thing, 0.0)), "n": np.full(2, by)},
            report(thing, **options.get(thing, {})),
            ("mean",),
        )
        for thing, by in changes.items()
    ]
    norms = dict.fromkeys(changes, 1.0)
    integer_changes = {thing: abs(by) for thing, by in changes.items()}
    a_round = round_of(BASE, updates, Averaging(rule=rule), norms=norms, integer_changes=integer_changes, part_bytes=32)
    made = a_round.average()
    assert a_round.average(3) == made
    if rule in MEANS:
        assert a_round.average(2, summed=True) == made
    return load(made["model"])[1]


@pytest.mark.parametrize("rule", [*MEANS, *ROBUST])
@pytest.mark.parametrize("change", [HUGE, -HUGE, -1, 5000])
@pytest.mark.parametrize("name", ["a", "m", "z"])
def test_one_client_of_several_moves_a_counter_by_little(rule: RuleName, change: int, name: str) -> None:
    honest = {f"h{number}": 4 + number for number in range(5)}
    found = averaged(rule, honest | {name: change}, **{name: {"examples": MAX_INTEGER}})["n"]
    assert (np.abs(found - [10, 20]) <= INTEGER_RATIO * 8).all()


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("change", [HUGE, -HUGE])
def test_under_robust_rules_counters_and_buffers_are_those_of_honest_clients(rule: RuleName, change: int) -> None:
    """Of clients with the same parameters Krum takes the first one by name, whatever else is in its update."""
    honest = dict.fromkeys(("h0", "h1", "h2", "h3", "h4"), 4)
    found = averaged(rule, honest | {"a": change}, {"a": 1e9})
    assert found["n"].tolist() == [14, 24]
    assert found["mean"].tolist() == [1.0, 1.0]
    assert found["w"].tolist() == [0.5] * 4


@pytest.mark.parametrize("rule", MEANS)
def test_of_two_clients_one_moves_a_counter_by_ten_times_what_the_other_does_at_most(rule: RuleName) -> None:
    assert averaged(rule, {"a": 10, "b": HUGE})["n"].tolist() == [10 + 55, 20 + 55]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=GROUP + 9))
def test_honest_counters_are_averaged_as_they_are(changes: list[int]) -> None:
    found = averaged("mean", {f"t{number:03d}": by for number, by in enumerate(changes)})["n"]
    assert found[0] == 10 + np.rint(np.mean(changes))


def test_where_most_clients_leave_integers_as_they_are_nobody_moves_them() -> None:
    assert averaged("mean", {"a": HUGE, "b": 0, "c": 0})["n"].tolist() == [10, 20]
