"""cloud/averaging/rules/custom.py: a custom averaging rule."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from cloud.averaging.rules.custom import custom_change
from cloud.averaging.update_tensors import base_values, read_updates
from cloud.custom_policies import InvalidPolicyError
from cloud.settings import Averaging
from fedgrass.policies import Update
from protocol.messages import ModelHeader, encode
from protocol.tensors import Array, dump
from tests.cloud.averaged import round_of
from tests.cloud.examples import report, update_of

MODEL = dump(
    {"w": np.array([1.0, 2.0], "<f4"), "n": np.array(3, "<i8")},
    {"w": "F32", "n": "I64"},
    encode(ModelHeader(federation="f", round=0)),
)
BASE = base_values(MODEL)
DELTAS: list[dict[str, Array]] = [
    {"w": np.array([1.0, 0.0]), "n": np.array(1)},
    {"w": np.array([9.0, 4.0]), "n": np.array(3)},
]


def updates_of(deltas: Sequence[dict[str, Array]], examples: Sequence[int]) -> Iterator[Update]:
    """The updates as the averager has them: read from the bytes that devices sent."""
    about = [report(f"t{number}", examples=count) for number, count in enumerate(examples)]
    a_round = round_of(MODEL, [update_of(delta, one) for delta, one in zip(deltas, about, strict=True)])
    return read_updates(a_round.layout, a_round.reader, a_round.sources)


def test_a_custom_rule_gets_the_updates_and_the_model() -> None:
    def average_of_mine(updates: Iterator[Update], model: dict[str, Any]) -> dict[str, Any]:
        largest = max(updates, key=lambda update: update.report.examples)
        return {name: largest.delta[name] - model[name] for name in model}

    change = custom_change(average_of_mine, updates_of(DELTAS, [1, 2]), BASE)
    assert change["w"].tolist() == [8.0, 2.0]
    assert change["n"].tolist() == 0


@pytest.mark.parametrize("shards", [1, 3])
def test_a_custom_mean_makes_the_model_that_the_mean_makes_however_it_is_cut(shards: int) -> None:
    def mean(updates: Iterator[Update], model: dict[str, Array]) -> dict[str, Array]:
        total = {name: np.zeros(array.shape) for name, array in model.items()}
        for update in updates:
            for name, delta in update.delta.items():
                total[name] += delta
        return {name: array / len(DELTAS) for name, array in total.items()}

    updates = [update_of(delta, report(thing)) for delta, thing in zip(DELTAS, "ab", strict=True)]

    def made(averaging: Averaging, count: int) -> bytes:
        a_round = round_of(MODEL, updates, averaging, elements=1, part_bytes=8, custom_average=mean)
        return a_round.average(count)["model"]

    assert made(Averaging(rule="custom"), shards) == made(Averaging(rule="mean"), 1)


def test_a_custom_rule_may_return_lists_and_numbers() -> None:
    change = custom_change(lambda *_: {"w": [0.5, 0.5], "n": 2}, updates_of(DELTAS, [1, 2]), BASE)
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
def test_what_a_custom_rule_may_not_return_is_refused(returned: Any, text: str) -> None:
    def average_of_mine(updates: Iterator[Update], model: dict[str, Array]) -> Any:
        return returned

    with pytest.raises(InvalidPolicyError, match=rf"average.*{text}"):
        custom_change(average_of_mine, updates_of(DELTAS, [1, 2]), BASE)


def test_an_update_that_cannot_be_read_is_no_fault_of_a_custom_rule() -> None:
    """The round is tried again for the one, and given up for the other."""

    def unreadable() -> Iterator[Update]:
        yield from updates_of(DELTAS[:1], [1])
        raise ConnectionError("no answer from S3")

    with pytest.raises(ConnectionError, match="no answer from S3"):
        custom_change(lambda updates, _: {"n": len(list(updates))}, unreadable(), BASE)
