"""torch's state dictionaries and fedgrass's tensors: loads global models, makes updates, writes initial models.

A tensor that a model holds under two names (tied weights) travels under both, so that the names of both sides agree.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from components.client.trainer.model.chosen_tensors import is_chosen
from components.client.trainer.model.travelling_tensors import DTYPES, NAMES, put, tensors_of
from protocol import encodings, messages, tensors
from protocol.encodings import Floats, Integers, NotFiniteError, UpdateLayout
from protocol.messages import ModelHeader
from protocol.tensors import Array, Header, SchemaMismatchError

Schema: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]
"""Name -> (safetensors dtype, shape)."""


class DivergedError(Exception):
    """Training has made a tensor infinite or not a number, or too large to travel."""


def schema(model: nn.Module) -> Schema:
    """Name -> (safetensors dtype, shape) of the model's state.

    Raises:
        UnsupportedModelError: see there.
    """
    return _schema(tensors_of(model))


def _schema(values: Mapping[str, Tensor]) -> Schema:
    return {name: (NAMES[value.dtype], tuple(value.shape)) for name, value in values.items()}


def buffers(model: nn.Module) -> tuple[str, ...]:
    """The floating-point tensors of the model's state that are no parameters: averaged, never optimized. Told by the
    memory that they lie in; copies, by their name; and by its last part, if only state_dict() knows it, as of a wrapper
    that adds a prefix."""
    state = tensors_of(model)
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    own = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    last = {_last_part(name) for name in own} - {_last_part(name) for name in names} | {"_extra_state"}
    of_parameters, of_buffers = _memory(model.parameters()), _memory(model.buffers())

    def is_buffer(name: str, value: Tensor) -> bool:
        lies_in = _memory([value])
        if (lies_in <= of_parameters) != (lies_in <= of_buffers):
            return lies_in <= of_buffers
        return name not in names and (name in own or _last_part(name) in last)

    return tuple(sorted(name for name, value in state.items() if value.is_floating_point() and is_buffer(name, value)))


def _memory(values: Iterable[Tensor]) -> set[int]:
    """Where these lie."""
    return {value.untyped_storage().data_ptr() for value in values if value.layout == torch.strided}


def _last_part(name: str) -> str:
    return re.split(r"\W", name)[-1]


def views(header: Header, data: bytearray) -> dict[str, Tensor]:
    """The tensors of a file's bytes, without a copy."""
    return {
        tensor.name: (
            torch.frombuffer(
                data, dtype=DTYPES[tensor.dtype], count=tensor.size, offset=header.length + tensor.start
            ).reshape(tensor.shape)
            if tensor.size
            else torch.empty(tensor.shape, dtype=DTYPES[tensor.dtype])
        )
        for tensor in header.tensors
    }


def load(model: nn.Module, header: Header, values: Mapping[str, Tensor]) -> None:
    """Has the user's model load a global one. What the user's has in float32 may have come in bfloat16: it is widened,
    which is exact, and updates are differences from the widened values.

    Raises:
        protocol.tensors.SchemaMismatchError: the global model is not of this kind; the text names the tensor.
        UnsupportedModelError: see there.
    """
    found = header.schema
    own = tensors_of(model)
    expected = {
        name: (("BF16", shape) if (dtype, found.get(name)) == ("F32", ("BF16", shape)) else (dtype, shape))
        for name, (dtype, shape) in _schema(own).items()
    }
    try:
        tensors.check_schema(header, expected)
    except SchemaMismatchError as error:
        chosen = ", as its parameters() chooses" if is_chosen(model) else ""
        raise SchemaMismatchError(
            f"the global model is not what build_model() of this device makes{chosen}: {error}"
        ) from error
    put(model, {name: values[name].to(value.dtype) for name, value in own.items()})


def first_change(before: Schema, after: Schema) -> str | None:
    """The first tensor that is not of the dtype and the shape that it was, as text; None if there is none."""
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            return f"tensor {name!r} was {_text(was)}, now it is {_text(now)}"
    return None


def _text(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if kind is None else f"{kind[0]} {list(kind[1])}"


def delta(model: nn.Module, base: Mapping[str, Tensor], layout: UpdateLayout) -> tuple[Floats, Integers]:
    """Local minus global: all float coordinates, and all integer coordinates, flat.

    Raises:
        DivergedError: a tensor was not finite in the global model, and has changed; the text names it.
    """
    state = tensors_of(model)
    floats, integers = np.empty(layout.n_float, np.float32), np.empty(layout.n_int, np.int64)
    for place in layout.floats:
        space = torch.from_numpy(floats[place.start : place.stop]).view(place.shape)
        is_buffer = place.start >= layout.n_parameters
        if _subtract(state[place.name], base[place.name], space):
            continue
        difference = _difference(state[place.name], base[place.name])
        if not difference[~base[place.name].isfinite()].isfinite().all():
            raise DivergedError(
                f"tensor {place.name!r} was infinite in the global model, and training has changed it: there is no "
                "difference that could be sent; have build_model() start it with finite numbers"
            )
        space.copy_(_towards_zero(difference) if is_buffer else difference)
    for place in layout.integers:
        count = state[place.name].to(torch.int64) - base[place.name].to(torch.int64)
        torch.from_numpy(integers[place.start : place.stop]).copy_(count.flatten())
    return floats, integers


def _subtract(value: Tensor, start: Tensor, space: Tensor) -> bool:
    """Whether the difference of two tensors of float32 could be written at once: it could, if all of it is finite."""
    if value.dtype != torch.float32 or start.dtype != torch.float32:
        return False
    torch.sub(value, start, out=space)
    return math.isfinite(space.sum().item())


def _difference(value: Tensor, start: Tensor) -> Tensor:
    """How two tensors differ: 0 where they are equal, infinite as a mask's constants may be."""
    wide = torch.float64 if value.dtype == torch.float64 else torch.float32
    return (value.to(wide) - start.to(wide)).masked_fill_(value == start, 0)


def _towards_zero(difference: Tensor) -> Tensor:
    """A difference in float32, no larger than it was: so that it doesn't lead beyond a value of float64, and make a
    variance near zero negative."""
    rounded = difference.float()
    is_larger = (rounded.to(difference.dtype).abs() > difference.abs()) & rounded.isfinite()
    return torch.where(is_larger, torch.nextafter(rounded, torch.zeros(())), rounded)


def dump_change(
    change: tuple[Floats, Integers], layout: UpdateLayout, report: messages.Report, residual: Floats | None = None
) -> tuple[bytes, Floats | None]:
    """The update's file: what local training changed, as `delta` has given it, and the report on it; and the residual
    that its encoding leaves for the next update, as `residual` was left by the last one.

    Raises:
        DivergedError: a difference is not finite, or too large for the encoding; the text names the tensor.
    """
    floats, integers = change
    try:
        encoded = encodings.encode_floats(layout, floats, residual)
    except NotFiniteError as error:
        tensor = layout.tensor_of(error.coordinate)
        raise DivergedError(f"training diverged: tensor {tensor!r} is not finite in {layout.encoding}") from error
    return encodings.dump(layout, integers, encoded, messages.encode(report)), encoded.residual


def to_arrays(values: Mapping[str, Tensor]) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors as the arrays and the dtypes that `tensors.dump` takes: views, unless they are on a GPU."""
    arrays: dict[str, Array] = {}
    for name, value in values.items():
        here = value.detach().cpu()
        arrays[name] = here.view(torch.int16).numpy().view("u2") if here.dtype == torch.bfloat16 else here.numpy()
    return arrays, {name: NAMES[value.dtype] for name, value in values.items()}


def dump_model(model: nn.Module, federation: str, round_number: int = 0) -> bytes:
    """The file of a global model; round 0 is a federation's initial model.

    Raises:
        UnsupportedModelError: see there.
    """
    arrays, dtypes = to_arrays(tensors_of(model))
    names = buffers(model)
    header = ModelHeader(federation=federation, round=round_number, buffers=names)
    return tensors.dump(arrays, dtypes, messages.encode(header), names)
