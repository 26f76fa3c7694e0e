"""What a task gives is a number, or is refused by its name; progress never ends a round."""

import datetime
import decimal
import fractions
import logging
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from components.client.trainer.files.checkpoints import Checkpoints
from components.client.trainer.files.round_files import RoundFiles
from components.client.trainer.task import returned_values
from components.client.trainer.task.returned_values import ValueRefusedError
from fedgrass.task import listen_to_progress, report_progress
from tests.components.client.trainer.files.test_checkpoints import BELONGING

NUMBERS = [
    (0.5, 0.5),
    (3, 3.0),
    (True, 1.0),
    (np.float32(0.5), 0.5),
    (np.float64(0.5), 0.5),
    (np.int64(3), 3.0),
    (np.bool_(True), 1.0),
    (np.array(0.5), 0.5),
    (np.array([[0.5]]), 0.5),
    (torch.tensor(0.5), 0.5),
    (torch.tensor([3]), 3.0),
    (torch.tensor(True), 1.0),
    (torch.tensor(0.5, requires_grad=True), 0.5),
    (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    (nn.Parameter(torch.ones(1, 1)), 1.0),
    (fractions.Fraction(1, 2), 0.5),
    (decimal.Decimal("0.5"), 0.5),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    (np.float32(math.inf), math.inf),
]

NO_NUMBERS = [
    None,
    "0.5",
    b"1",
    np.str_("0.5"),
    1j,
    np.complex64(1),
    torch.tensor(1j),
    [0.5],
    {"loss": 0.5},
    np.array([1.0, 2.0]),
    np.array([]),
    torch.ones(2),
    torch.ones(0),
    torch.ones((), device="meta"),
    10**400,
    datetime.timedelta(1),
    object(),
    math.sin,
]


@pytest.mark.parametrize(("given", "expected"), NUMBERS)
def test_a_number_of_any_kind_is_one(given: Any, expected: float) -> None:
    found = returned_values.metrics({"loss": given}, "evaluate() of task.py")
    assert found == {"loss": expected}
    assert type(found["loss"]) is float


@pytest.mark.parametrize("given", [math.nan, np.float32("nan"), torch.tensor(math.nan)])
def test_nan_is_kept(given: Any) -> None:
    assert math.isnan(returned_values.metrics({"loss": given}, "evaluate() of task.py")["loss"])


@pytest.mark.parametrize("given", NO_NUMBERS)
def test_what_is_no_number_is_refused_by_its_name(given: Any) -> None:
    with pytest.raises(ValueRefusedError, match=r"evaluate\(\) of task.py has to return numbers by name: 'loss' is "):
        returned_values.metrics({"accuracy": 1.0, "loss": given}, "evaluate() of task.py")


def test_the_kind_and_shape_of_what_is_refused_are_told() -> None:
    with pytest.raises(ValueRefusedError, match=r"'loss' is torch.Tensor of shape \[2\]: give a number"):
        returned_values.metrics({"loss": torch.ones(2)}, "train()")


def test_names_of_metrics_may_be_whole_numbers_but_not_anything() -> None:
    assert returned_values.metrics({0: 0.5, np.int64(1): 0.25}, "evaluate()") == {"0": 0.5, "1": 0.25}
    for name in (("a", "b"), None, 0.5, "\udcff"):
        with pytest.raises(ValueRefusedError, match="a name is "):
            returned_values.metrics({name: 1.0}, "evaluate()")
    with pytest.raises(ValueRefusedError, match="'1' twice"):
        returned_values.metrics({1: 0.5, "1": 0.5}, "evaluate()")


def there_and_back(directory: Path, given: dict[str, Any], **tensors: Any) -> dict[str, Any]:
    model = nn.Linear(2, 2)
    before, after = (Checkpoints(RoundFiles(directory, BELONGING), 10, steps=0, interval_s=0.0) for _ in range(2))
    before.save(model, given, tensors)
    assert after.find() is not None
    saved = after.resume(model)
    assert saved is not None
    return saved.values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(
            (number, number)
            for number in (0, -3, 0.5, -0.0, math.inf, -math.inf, True, False, None, "text", "\udcff", "")
        ),
        (2**53 + 1, 2**53 + 1),
        (2**200, 2**200),
        (np.float64(0.1), 0.1),
        (np.int32(3), 3),
        (np.bool_(False), False),
        (np.str_("x"), "x"),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([7]), 7),
        (np.array([2.0]), 2.0),
        ([1, [2.5, "x", None]], [1, [2.5, "x", None]]),
        ((1, np.float32(0.5)), [1, 0.5]),
        ({"best": {"epoch": np.int64(3), "losses": [math.inf]}}, {"best": {"epoch": 3, "losses": [math.inf]}}),
        (OrderedDict(a=1), {"a": 1}),
        (np.random.default_rng(1).bit_generator.state, np.random.default_rng(1).bit_generator.state),
        ([], []),
        ({}, {}),
    ],
)
def test_the_values_of_a_checkpoint_come_back_as_they_were(tmp_path: Path, given: Any, expected: Any) -> None:
    found = there_and_back(tmp_path / "round", {"value": given})["value"]
    assert found == expected
    assert type(found) is type(expected)
    assert str(found) == str(expected)  # -0.0 as well


def test_nan_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    assert math.isnan(there_and_back(tmp_path / "round", {"value": np.float64("nan")})["value"])


def test_metrics_of_a_checkpoint_that_are_not_finite_come_back(tmp_path: Path) -> None:
    before, after = (Checkpoints(RoundFiles(tmp_path, BELONGING), 10, steps=0, interval_s=0.0) for _ in range(2))
    before.begin({"loss": math.inf}, 1.0)
    before.save(nn.Linear(2, 2), {}, {})
    found = after.find()
    assert found is not None
    assert found.before == {"loss": math.inf}


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"best": {1, 2}}, r"values\['best'\] is set: give numbers, texts, None, or lists and dicts of these"),
        ({"best": b"x"}, r"values\['best'\] is bytes"),
        ({"best": 1j}, r"values\['best'\] is complex"),
        ({"best": torch.ones(2)}, r"values\['best'\] is torch.Tensor of shape \[2\]: .* into tensors"),
        ({"best": np.ones(2)}, r"values\['best'\] is numpy.ndarray of shape \[2\]"),
        ({"best": [1, {"x": Path("x")}]}, r"values\['best'\]\[1\]\['x'\] is pathlib"),
        ({"best": {1: 2}}, r"values\['best'\] has the key 1, int: use str\(\)"),
        ({3: 2}, r"values has the key 3"),
        ({"best": datetime.datetime.now(datetime.UTC)}, r"values\['best'\] is datetime.datetime"),
        ({"best": 1 << 20_000}, r"values\['best'\] is an integer of 20001 bits"),
        ({"best": nested(100)}, r"is nested more than 50 deep"),
        ([1], r"values is list: give a dict"),
    ],
)
def test_what_a_checkpoint_cannot_keep_is_refused_at_once(tmp_path: Path, given: Any, named: str) -> None:
    with pytest.raises(ValueRefusedError, match=rf"^checkpoint\(\): .*{named}"):
        there_and_back(tmp_path / "round", given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"velocity": np.ones(2)}, "'velocity' is ndarray, no tensor"),
        ({"state": {"step": 1}}, "'state' is dict, no tensor"),
        ({"mask": torch.eye(2).to_sparse()}, "tensor 'mask' is sparse_coo, which is not supported"),
        ({"wave": torch.ones(2, dtype=torch.complex64)}, "tensor 'wave' is torch.complex64"),
        ({"odd": torch.ones(2, dtype=torch.uint16)}, "tensor 'odd' is torch.uint16"),
    ],
)
def test_a_tensor_that_a_checkpoint_cannot_keep_is_refused_at_once(
    tmp_path: Path, given: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueRefusedError, match=rf"^checkpoint\(\): {named}"):
        there_and_back(tmp_path / "round", {}, **given)


def test_progress_of_any_kind_of_number_is_told_and_anything_else_left_out_with_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Any] = []
    listen_to_progress(
        lambda *counts: told.append(
            tuple(
                returned_values.count(count, what)
                for count, what in zip(counts, ("epoch", "epochs", "step"), strict=True)
            )
        )
    )
    report_progress(epoch=np.int64(2), epochs=torch.tensor(5), step=True)  # type: ignore[arg-type]
    report_progress(epoch=2.0, step=None)  # type: ignore[arg-type]
    assert told == [(2, 5, 1), (2, None, None)]
    assert all(type(count) is int for count in told[0])
    del told[:]
    with caplog.at_level(logging.WARNING):
        bad: list[Any] = [-1, 0.5, math.nan, math.inf, "3", [1], torch.ones(2), 2**60, object()]
        for count in bad:
            report_progress(epoch=1, step=count)
    assert told == [(1, None, None)] * len(bad)
    assert [record.reason for record in caplog.records] == ["step is -1: give a whole number from 0"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "expected"), [(True, True), (np.bool_(False), False), (torch.tensor(1), True), (0, False)]
)
def test_a_truth_value_of_any_kind_is_one(given: Any, expected: bool) -> None:
    assert returned_values.flag(given, "ready()") is expected


@pytest.mark.parametrize("given", [None, "no", math.nan, [True], torch.ones(2)])
def test_what_says_neither_yes_nor_no_is_refused(given: Any) -> None:
    with pytest.raises(ValueRefusedError, match=r"ready\(\) is "):
        returned_values.flag(given, "ready()")
