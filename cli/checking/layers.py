"""Which layer of a model did not take what it was given, and what to do about it: found by running the step again."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, jit, nn

_LONGEST = 120
_CONVOLUTIONS = ((nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3))
_OF_VALUES = (IndexError, RuntimeError, TypeError, ValueError)


class Explanation(NamedTuple):
    """What was wrong, and what to do."""

    text: str
    remedy: str


class _Layer(NamedTuple):
    name: str
    module: nn.Module
    inputs: tuple[Any, ...]


def explain(model: nn.Module, run: Callable[[], object]) -> Explanation | None:
    """What a layer of the model refuses when `run` uses it; None if no layer does."""
    layer = _stopped_at(model, run)
    if layer is None:
        return None
    values = [value for value in layer.inputs if isinstance(value, Tensor)]
    if not values:
        return None
    name = f"{layer.name}, " if layer.name else ""
    told = repr(layer.module).split("\n")[0].rstrip("(")[:_LONGEST]
    given = " and ".join(f"{list(value.shape)} ({value.dtype})" for value in values)
    place = f"the layer {name}{told}" if layer.name else f"forward() of {type(layer.module).__name__}"
    text = f"{place} does not take a batch of shape {given}"
    return Explanation(text, _of_dtype(layer.module, values[0]) or _of_shape(layer.module, values[0]))


def unregistered(model: nn.Module) -> tuple[str, str] | None:
    """An attribute that holds layers in a plain list, tuple or dict, so that the model does not know them, and what to
    use in its place."""
    known = set(model.modules())
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            is_dict = isinstance(value, dict)
            parts = value.values() if is_dict else value if isinstance(value, list | tuple) else ()
            if not attribute.startswith("_") and any(
                isinstance(part, nn.Module) and part not in known for part in parts
            ):
                return f"{name}.{attribute}".lstrip("."), "nn.ModuleDict" if is_dict else "nn.ModuleList"
    return None


def last_layer(model: nn.Module, run: Callable[[], object]) -> tuple[nn.Module | None, object]:
    """What `run` gives, with the layer that made it, if it is the output of one as it is."""
    made: list[tuple[object, nn.Module]] = []
    handles = [
        module.register_forward_hook(lambda module, _inputs, output: made.append((output, module)))
        for module in model.modules()
        if not isinstance(module, jit.ScriptModule) and not list(module.children())
    ]
    try:
        output = run()
    finally:
        for handle in handles:
            handle.remove()
    return next((module for each, module in reversed(made) if each is output), None), output


def _stopped_at(model: nn.Module, run: Callable[[], object]) -> _Layer | None:
    """The innermost layer in which `run` ends by an exception."""
    entered: list[_Layer] = []
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, jit.ScriptModule):
            continue

        def enter(module: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
            entered.append(_Layer(name, module, inputs))

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(lambda *_: entered.pop() and None))
    try:
        run()
    except Exception as error:  # of what it is used for: the one that is to be explained
        cause = error.__cause__ or error
        is_of_values = isinstance(cause, _OF_VALUES) and not isinstance(cause, NotImplementedError)
        return entered[-1] if entered and is_of_values else None
    finally:
        for handle in handles:
            handle.remove()
    return None


def _of_dtype(module: nn.Module, value: Tensor) -> str:
    weight = next((parameter for parameter in module.parameters(recurse=False)), None)
    if isinstance(module, nn.Embedding):
        return "an Embedding takes whole numbers: convert them by .long()" if value.is_floating_point() else ""
    if weight is None or weight.dtype == value.dtype:
        return ""
    wanted = str(weight.dtype).removeprefix("torch.")
    if value.is_floating_point():
        return f"its weights are {weight.dtype}: convert the inputs in load_data by .{_method(wanted)}()"
    return (
        f"its weights are {weight.dtype}: convert the inputs in load_data by .{_method(wanted)}(), "
        "and divide pixels by 255"
    )


def _method(dtype: str) -> str:
    return {"float32": "float", "float64": "double", "float16": "half", "bfloat16": "bfloat16"}.get(dtype, "float")


def _of_shape(module: nn.Module, value: Tensor) -> str:
    shape = list(value.shape)
    dimensions = next((n for kind, n in _CONVOLUTIONS if isinstance(module, kind)), None)
    if isinstance(module, nn.Linear) and shape:
        wanted = module.in_features
        if math.prod(shape[1:]) == wanted:
            return "flatten its input first: put nn.Flatten() before it, or x.flatten(1) in forward()"
        if len(shape) > 2:
            return (
                f"flatten its input first by nn.Flatten() or x.flatten(1), and make it "
                f"nn.Linear({math.prod(shape[1:])}, {module.out_features}): it has {wanted} in_features"
            )
        return f"its in_features are {wanted}, its input has {shape[-1]}: make it nn.Linear({shape[-1]}, ...)"
    if dimensions is not None and isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        wanted = module.in_channels
        if len(shape) == dimensions + 1 and wanted == 1:
            return "the examples are without a dimension for channels: add it in load_data by inputs.unsqueeze(1)"
        if len(shape) != dimensions + 2:
            order = ", ".join(("examples", "channels", *("depth", "height", "width")[3 - dimensions :]))
            return f"it takes [{order}]: give the examples in load_data that shape, as by .unsqueeze(1) or .reshape()"
        if shape[1] != wanted and shape[-1] == wanted:
            order = ", ".join(map(str, (0, dimensions + 1, *range(1, dimensions + 1))))
            return f"the channels come last: put them first in load_data by inputs.permute({order})"
        if shape[1] != wanted:
            return f"its in_channels are {wanted}, its input has {shape[1]}: make these equal"
        return "the input is smaller than its kernel: use padding, fewer poolings, or larger inputs"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and len(shape) > 1:
        if shape[0] == 1:
            return "batch normalization can't train on a batch of one: give training.batch_size 2 or more"
        return f"its num_features are {module.num_features}, its input has {shape[1]}"
    if isinstance(module, nn.RNNBase) and shape:
        return f"its input_size is {module.input_size}, its input has {shape[-1]}"
    return "compare the shape with what it takes; print(x.shape) in forward() shows how it comes about"
