"""One's own averaging rule: it sees whole updates, one at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cloud.averaging.sources import Reader, Request, Source, read_whole
from cloud.averaging.values import ModelValues, rebased_buffers, rebased_integers
from cloud.custom_policies import InvalidPolicyError, call
from fedgrass.policies import Update
from protocol.encodings import (
    Buffer,
    UpdateLayout,
    buffer_range,
    decode,
    integer_range,
    parameter_range,
    scale_range,
)
from protocol.tensors import Array, load, to_float32


def own_change(rule: Callable[..., Any], updates: Iterator[Update], base: Mapping[str, Array]) -> dict[str, Array]:
    """The change to make to the global model, by tensor, from updates in the order of their things' names.

    Raises:
        InvalidPolicyError: the rule failed, or returned other tensors than the model's, or ones not finite.
        What reading the updates raises comes through as it is.
    """
    unread: list[Exception] = []
    try:
        return _checked(call(rule, dict[str, Any], _noting(unread, updates), dict(base)), base)
    except InvalidPolicyError:
        if unread:  # no fault of the rule's
            raise unread[0] from None
        raise


def read_updates(
    layout: UpdateLayout, reader: Reader, sources: Sequence[Source], models: Sequence[ModelValues] = ()
) -> Iterator[Update]:
    """Updates as rules see them, in the order of their things' names. `models` has the values of all models that they
    were trained from, none if that is the present one."""
    whole = read_whole(reader, (Request(number, 0, layout.data_bytes) for number in range(len(sources))))
    for source, data in zip(sources, whole, strict=True):
        delta = _by_tensor(layout, data, source.base, models)
        yield Update(thing=source.thing, report=source.report, delta=delta, age=source.age)


def _by_tensor(layout: UpdateLayout, data: Buffer, base: int | None, models: Sequence[ModelValues]) -> dict[str, Array]:
    """An update's differences: float32, and int64 of integers and booleans."""
    view = memoryview(data)
    floats = np.empty(layout.n_float, np.float32)
    scales = view[slice(*scale_range(layout, 0, layout.n_parameters))]
    values = view[slice(*parameter_range(layout, 0, layout.n_parameters))]
    decode(layout.encoding, values, floats[: layout.n_parameters], 0, scales)
    buffers = np.frombuffer(view[slice(*buffer_range(layout, 0, layout.n_float - layout.n_parameters))], "<f4")
    integers = np.frombuffer(view[slice(*integer_range(0, layout.n_int))], "<i8")
    if base is None:
        buffers, integers = np.zeros_like(buffers), np.zeros_like(integers)
    elif base:
        buffers = rebased_buffers(buffers, models[base].buffers, models[0].buffers)
        integers = rebased_integers(integers, models[base].integers, models[0].integers)
    floats[layout.n_parameters :] = buffers
    return {
        tensor.name: numbers[tensor.start : tensor.stop].reshape(tensor.shape)
        for numbers, tensors in ((floats, layout.floats), (integers, layout.integers))
        for tensor in tensors
    }


def base_values(model: Buffer) -> dict[str, Array]:
    """A model's tensors as values that arithmetic can use: bfloat16 and float16 as float32."""
    header, arrays = load(model)
    return {
        tensor.name: to_float32(arrays[tensor.name], tensor.dtype)
        if tensor.dtype in ("BF16", "F16")
        else arrays[tensor.name]
        for tensor in header.tensors
    }


def _noting(errors: list[Exception], updates: Iterator[Update]) -> Iterator[Update]:
    try:
        yield from updates
    except Exception as error:
        errors.append(error)
        raise


def _checked(change: dict[str, Any], base: Mapping[str, Array]) -> dict[str, Array]:
    try:
        arrays = {name: np.asarray(value) for name, value in change.items()}
    except ValueError as error:
        raise InvalidPolicyError(f"policies.py: average returned what is no array: {error}") from error
    if arrays.keys() != base.keys():
        raise InvalidPolicyError(
            f"policies.py: average must return every tensor of the model; missing or unknown: "
            f"{', '.join(sorted(arrays.keys() ^ base.keys()))}"
        )
    for name, array in arrays.items():
        if array.shape != base[name].shape or not np.issubdtype(array.dtype, np.number):
            raise InvalidPolicyError(
                f"policies.py: average returned {name!r} as {array.dtype} {list(array.shape)}; "
                f"the model has {list(base[name].shape)}"
            )
        if not np.isfinite(array).all():
            raise InvalidPolicyError(f"policies.py: average returned {name!r} with values that are not finite")
    return arrays
