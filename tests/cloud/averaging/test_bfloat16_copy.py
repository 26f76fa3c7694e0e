"""cloud/averaging/bfloat16_copy.py: the copy of a model that has half its bytes."""

from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.averaging.bfloat16_copy import TooLargeNumberError, bfloat16_copy_of
from protocol.messages import ModelHeader, encode
from protocol.tensors import dump, load

DTYPES = {"f4": "F32", "f8": "F64", "f2": "F16", "i4": "I32", "b1": "BOOL"}


def model_of(buffers: tuple[str, ...] = (), /, **arrays: NDArray[Any]) -> bytes:
    dtypes = {name: DTYPES[array.dtype.str[1:]] for name, array in arrays.items()}
    return dump(arrays, dtypes, encode(ModelHeader(federation="f", round=0, buffers=buffers)), buffers)


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), max_size=50))
def test_numbers_are_rounded_as_torch_rounds_them(values: list[float]) -> None:
    copy = safetensors.torch.load(bfloat16_copy_of(model_of(w=np.array(values, "<f4"))))
    assert copy["w"].dtype == torch.bfloat16
    assert torch.equal(copy["w"], torch.tensor(values, dtype=torch.float32).to(torch.bfloat16))


def test_everything_else_stays_as_it_is_and_where_it_is() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "a": np.arange(3.0),
        "b": np.array([1.5], "<f4"),
        "c": np.array([[3, 4]], "<i4"),
        "d": np.array([0.1], "<f2"),
        "e": np.array(True),
        "f": np.empty((0, 2), "<f4"),
    }
    model = model_of(**arrays)
    before, after = load(model), load(bfloat16_copy_of(model))
    assert [tensor.name for tensor in after[0].tensors] == [tensor.name for tensor in before[0].tensors]
    assert after[0].message == before[0].message
    for name in "acde":
        assert np.array_equal(after[1][name], arrays[name])
    assert after[0].schema["f"] == ("BF16", (0, 2))


def test_buffers_stay_as_they_are_finite_or_not() -> None:
    values = np.array([0.1, 1e-30, 3.4e38, np.inf], "<f4")
    copy = load(bfloat16_copy_of(model_of(("mask",), w=np.array([0.1], "<f4"), mask=values)))
    assert copy[0].schema == {"w": ("BF16", (1,)), "mask": ("F32", (4,))}
    assert copy[1]["mask"].tobytes() == values.tobytes()


def test_the_copy_of_a_large_model_has_half_its_bytes() -> None:
    model = model_of(w=np.ones(10_000, "<f4"))
    assert len(bfloat16_copy_of(model)) == pytest.approx(len(model) / 2, rel=0.01)


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, np.nan])
def test_a_number_that_bfloat16_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(TooLargeNumberError, match="'w'"):
        bfloat16_copy_of(model_of(w=np.array([np.inf, value], "<f4")))


def test_infinities_stay_what_they_are() -> None:
    copy = safetensors.torch.load(bfloat16_copy_of(model_of(w=np.array([np.inf, -np.inf, 1.0], "<f4"))))
    assert copy["w"].tolist() == [np.inf, -np.inf, 1.0]
