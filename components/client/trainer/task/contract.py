"""The functions that a task.py may have, and whether they can be called as they will be."""

import inspect
from types import ModuleType
from typing import NamedTuple

FUNCTIONS = {
    "build_model": (),
    "load_data": ("directory", "client"),
    "ready": ("device",),
    "validate": ("model", "data"),
    "loss": ("model", "batch"),
    "parameters": ("model",),
    "train": ("model", "data", "settings"),
    "evaluate": ("model", "data"),
    "describe": ("model", "data"),
    "example_inputs": (),
}
"""Name -> what it is called with."""

REQUIRED = ("build_model", "load_data")


class Fault(NamedTuple):
    """What is wrong with one of the functions."""

    function: str
    text: str


def fault_of(module: ModuleType, file: str) -> Fault | None:
    """What keeps the module from being a task."""
    for name, arguments in FUNCTIONS.items():
        wanted = f"{name}({', '.join(arguments)})"
        if not hasattr(module, name):
            if name in REQUIRED:
                return Fault(name, f"{file} has no function {name}(): a task needs one")
            continue
        function = getattr(module, name)
        if not callable(function):
            kind = type(function).__name__
            text = f"{name} of {file} is {kind}: it has to be a function {wanted}, or have another name"
            return Fault(name, text)
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # written in C: it does not tell
            continue
        try:
            signature.bind(*arguments)
        except TypeError as error:
            return Fault(name, f"{name}{signature} of {file} can't be called as {wanted}: {error}")
    return None
