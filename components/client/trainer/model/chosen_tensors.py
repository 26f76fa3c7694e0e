"""Which tensors of a model's state travel: all of them, or those that its task has chosen. The others are what
build_model() makes, on every device."""

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

_SHOWN = 5

_chosen: WeakKeyDictionary[nn.Module, frozenset[str]] = WeakKeyDictionary()


class NoSuchTensorError(Exception):
    """The model's state has no tensor of a chosen name; the text names it."""


def choose(model: nn.Module, patterns: Iterable[str]) -> None:
    """Has only those tensors of the model's state_dict() travel that have one of these names, or match one of these
    patterns (of fnmatch, with case); parameters that are none of them take no gradients from here on.

    Raises:
        NoSuchTensorError: a pattern matches nothing.
    """
    state = model.state_dict()
    chosen: set[str] = set()
    for pattern in patterns:
        found = {pattern} & state.keys() or {name for name in state if fnmatch.fnmatchcase(str(name), pattern)}
        if not found:
            raise NoSuchTensorError(
                f"{pattern!r}, which no tensor of the model's state_dict() is called{_near(pattern, state)}"
            )
        chosen |= found
    places = {place_of(state[name]) for name in chosen}
    kept = {
        parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name in chosen or place_of(parameter) in places
    }
    for parameter in model.parameters():
        if parameter not in kept:
            parameter.requires_grad_(False)
    _chosen[model] = frozenset(chosen)


def _near(pattern: str, names: Iterable[str]) -> str:
    known = list(map(str, names))
    near = difflib.get_close_matches(pattern, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    more = f", and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f": it has {', '.join(map(repr, known[:_SHOWN]))}{more}"


def is_chosen(model: nn.Module) -> bool:
    """Whether only a part of the model's state travels."""
    return model in _chosen


def state_of(model: nn.Module) -> Any:
    """What travels of the model's state_dict()."""
    state, chosen = model.state_dict(), _chosen.get(model)
    return state if chosen is None else {name: value for name, value in state.items() if name in chosen}


def left_behind(model: nn.Module) -> Mapping[str, Any]:
    """What does not, if the task has chosen."""
    chosen = _chosen.get(model)
    return {} if chosen is None else {name: value for name, value in model.state_dict().items() if name not in chosen}


def set_to_training(model: nn.Module) -> None:
    """Training mode. But normalization whose statistics do not travel stays in evaluation mode: else this device would
    normalize by others than those that the global model is evaluated with."""
    model.train()
    if not is_chosen(model):
        return
    travelling = {place_of(value) for value in state_of(model).values()}
    for module in model.modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            module.train(place_of(module.running_mean) in travelling)


def place_of(value: object) -> object:
    """What two tensors have in common that are the same one; None if that can't be told."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_nested:
        return None
    return value.device, value.data_ptr(), value.dtype, value.shape, value.stride()
