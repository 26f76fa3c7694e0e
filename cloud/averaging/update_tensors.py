"""Whole updates, and the whole model, as a custom `average` sees them: values by tensor."""

from collections.abc import Iterator, Sequence

import numpy as np

from cloud.averaging.accepted_updates import AcceptedUpdate, Reader, Request, read_whole
from cloud.averaging.rebasing import ModelValues, rebased_buffers, rebased_integers
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


def read_updates(
    layout: UpdateLayout, reader: Reader, sources: Sequence[AcceptedUpdate], models: Sequence[ModelValues] = ()
) -> Iterator[Update]:
    """Updates as `average` sees them, in the order of their things' names. `models` has the values of all models that
    they were trained from, none if that is the present one."""
    whole = read_whole(reader, (Request(number, 0, layout.data_bytes) for number in range(len(sources))))
    for source, data in zip(sources, whole, strict=True):
        delta = _by_tensor(layout, data, source.base, models)
        yield Update(thing=source.thing, report=source.report, delta=delta, age=source.age, inclusion=source.inclusion)


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
