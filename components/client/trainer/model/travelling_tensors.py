"""The tensors of a model that travel, and why one of them can't."""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from components.client.trainer.model.chosen_tensors import is_chosen, place_of, state_of
from components.client.trainer.task.returned_values import is_text
from protocol import encodings

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""safetensors dtype -> torch's."""

NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""torch's dtype -> safetensors'."""

_REMEDIES = {"_extra_state": ": have get_extra_state() give a tensor, or take it away"}

_WIDE = 2_000
"""torch's own load looks through all names once for each module: with more names than this, they are copied directly
where that comes to the same."""

_LOADING = ("load_state_dict", "_load_from_state_dict", "set_extra_state")
"""The methods of a module that have a part in its load."""


class UnsupportedModelError(Exception):
    """The model has state that cannot travel, or that its own load_state_dict() does not take; the text names the
    tensor and what to do."""


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Name -> tensor of what travels of the model's state, on the CPU: the model's own memory, unless its state_dict()
    gives copies.

    Raises:
        UnsupportedModelError: see there.
    """
    state = state_of(model)
    if not isinstance(state, Mapping):
        raise UnsupportedModelError(f"state_dict() of the model gives {type(state).__name__}: it has to give a dict")
    if not state:
        raise UnsupportedModelError("the model has no tensors: its state_dict() is empty, so there is nothing to train")
    for name, value in state.items():
        fault = fault_of(name, value) or _overlap_of(name, value)
        if fault is not None:
            raise UnsupportedModelError(fault)
    return {name: (value.detach() if value.requires_grad else value).cpu() for name, value in state.items()}


def outside_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Name -> the model's own parameter or buffer, of those that its state_dict() leaves out or gives as copies, or
    that do not travel; but no parameters that take no gradients while others are chosen: these stay as they are."""
    given = {place_of(value) for value in state_of(model).values()}
    frozen = is_chosen(model)
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad or not frozen]
    own = [*trained, *model.named_buffers()]
    return {
        name: value.detach()
        for name, value in own
        if not (fault_of(name, value) or _overlap_of(name, value)) and place_of(value) not in given
    }


def takes_outside_state_dict(model: nn.Module, values: Mapping[str, Tensor]) -> bool:
    """Whether `put_outside_state_dict` can put these back."""
    own, buffers = outside_state_dict(model), _buffers(model)
    return own.keys() <= values.keys() and all(
        name in buffers or (name in own and _is_alike(own[name], value)) for name, value in values.items()
    )


def put_outside_state_dict(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Restores what `outside_state_dict` returned. A buffer that a forward makes may have another shape now, or may not
    exist yet."""
    own, buffers = outside_state_dict(model), _buffers(model)
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    for name, value in values.items():
        if name in own and _is_alike(own[name], value):
            own[name].copy_(value)
        else:
            module, last = buffers[name]
            module._buffers[last] = value.clone().to(device)


def _buffers(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Name -> where each buffer belongs, those that are not made yet as well."""
    return {
        f"{path}.{name}".removeprefix("."): (module, name)
        for path, module in model.named_modules()
        for name in module._buffers
    }


def _is_alike(one: Tensor, other: Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape)


def fault_of(name: object, value: object) -> str | None:
    """Why this cannot be written to a file of tensors."""
    if not isinstance(name, str) or not is_text(name):
        return f"{name!r} is no name for a tensor: names have to be text"
    if name == encodings.SCALES:
        return f"no tensor may be named {name!r}: updates keep that name for scales"
    if not isinstance(value, Tensor):
        return f"{name!r} is {type(value).__qualname__}, no tensor{_REMEDIES.get(name.rpartition('.')[2], '')}"
    if is_lazy(value):
        return f"tensor {name!r} has no shape yet: use no lazy module, or run the model once in build_model()"
    if value.is_meta:
        return f"tensor {name!r} is on the meta device, without numbers: make it on the CPU"
    if value.layout != torch.strided or value.is_nested:
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        return f"tensor {name!r} is {kind}, which is not supported: make it a dense tensor"
    if value.dtype not in NAMES:
        return f"tensor {name!r} is {value.dtype}, which is not supported: use one of {', '.join(DTYPES)}"
    return None


def _overlap_of(name: str, value: Tensor) -> str | None:
    steps = value.stride()
    if 0 in steps and any(step == 0 and size > 1 for step, size in zip(steps, value.shape, strict=True)):
        return f"tensor {name!r} is expanded, so that nothing can be loaded into it: make it one of its own by clone()"
    return None


def put(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Has the model load these tensors, of its own names, dtypes and shapes, by its own load_state_dict(). They stay
    apart from it.

    Raises:
        UnsupportedModelError: that has not changed the model's state to them; the text names the tensor.
    """
    if _is_copied(model, values):
        return
    _load_state(model, values)
    if _keeps(model, values):
        _load_state(model, {name: value.clone() for name, value in values.items()})
    name = _first_difference(model, values)
    if name is not None:
        other = _sharing(state_of(model), name)
        if other is not None:
            raise UnsupportedModelError(
                f"tensor {name!r} is not what was loaded into it: it shares memory with {other!r}, in another order or "
                "part; give it its own by clone(), or keep one of them only, and make the other of it in forward()"
            )
        raise UnsupportedModelError(
            f"tensor {name!r} is not what was loaded into it: load_state_dict() of the model does not undo what its "
            "state_dict() does; let it take what that gives"
        )


def _sharing(state: Mapping[str, Any], name: str) -> str | None:
    """The first other tensor that lies, in part or in another order, in the memory of this one."""
    value = state.get(name)
    if value is None or not value.numel():
        return None
    start = value.untyped_storage().data_ptr()
    return next(
        (
            other
            for other, its in state.items()
            if other != name and its.untyped_storage().data_ptr() == start and place_of(its) != place_of(value)
        ),
        None,
    )


def _keeps(model: nn.Module, values: Mapping[str, Tensor]) -> bool:
    """Whether the model has taken one of these for its own (assign=True): training would change it."""
    state = model.state_dict()
    return any(
        value.numel() and name in state and state[name].data_ptr() == value.data_ptr() for name, value in values.items()
    )


def _is_copied(model: nn.Module, values: Mapping[str, Tensor]) -> bool:
    """Whether a model of many tensors, whose load would come to the same, has been given these by copying them."""
    state = model.state_dict()
    if len(state) <= _WIDE or not _loads_plainly(model):
        return False
    with torch.no_grad():
        for name, value in values.items():
            if name in state:
                state[name].copy_(value)
    return _first_difference(model, values) is None


def _load_state(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Names that the model has besides are not missed: what its state_dict() leaves out is no part of its state."""
    state = copy.copy(model.state_dict())  # with what torch says in it of the modules' versions
    state.update(values)
    if getattr(model.load_state_dict, "__func__", None) is not nn.Module.load_state_dict:
        try:
            inspect.signature(model.load_state_dict).bind(state, strict=False)
        except TypeError:  # it asks for no more than the state
            model.load_state_dict(state)
            return
    model.load_state_dict(state, strict=False)


def _loads_plainly(model: nn.Module) -> bool:
    """Whether a load does no more than copy numbers: no module of the model has a hook, or a method of its own, that
    would see it."""
    return not any(
        module._load_state_dict_pre_hooks
        or module._load_state_dict_post_hooks
        or any(not getattr(module, name).__module__.startswith("torch.nn.modules.") for name in _LOADING)
        for module in model.modules()
    )


def _first_difference(model: nn.Module, values: Mapping[str, Tensor]) -> str | None:
    """The first tensor of the model that is not the one of these values. One that the model holds under two names
    (tied weights) has the value of either: a lossy encoding can make them differ."""
    state = tensors_of(model)
    differing = [name for name, value in values.items() if name not in state or not _equal(state[name], value)]
    for name in differing:
        if name not in state or not any(
            other not in differing and _equal(state[name], value) for other, value in values.items()
        ):
            return name
    return None


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same numbers; a nan is one of them."""
    if not _is_alike(one, other):
        return False
    if torch.equal(one, other):
        return True
    return one.is_floating_point() and bool(((one == other) | (one.isnan() & other.isnan())).all())
