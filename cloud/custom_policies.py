"""Custom policies: loads the policies.py that stands beside federation.yaml, and calls its functions.

`fedgrass.policies` tells what these are given. The functions load the file from their own package, where it lies under
federations/<name>/, so that what was deployed is what runs.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import msgspec

from cloud.settings import Federation
from fedgrass import policies

FILE_NAME = "policies.py"


class InvalidPolicyError(Exception):
    """policies.py is missing, doesn't load, lacks a function, or a function of it returned what it may not."""


def load(directory: Path, settings: Federation) -> ModuleType | None:
    """The policies.py of a federation, with every function that its settings ask for; None if they ask for none.

    Raises:
        InvalidPolicyError: the file is missing, doesn't load, or lacks a function.
    """
    if not settings.custom_functions:
        return None
    path = directory / FILE_NAME
    if not path.is_file():
        raise InvalidPolicyError(
            f"federation {settings.name!r} asks for custom {', '.join(settings.custom_functions)}, "
            f"but there is no {path}"
        )
    module_name = f"policies_of_{settings.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_TextLoader(module_name, str(path)))
    if spec is None or spec.loader is None:
        raise InvalidPolicyError(f"{path} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidPolicyError(f"{path} doesn't load: {type(error).__name__}: {error}") from error
    for name in settings.custom_functions:
        if not callable(getattr(module, name, None)):
            raise InvalidPolicyError(f"{path} has no function {name}, which the settings of {settings.name!r} ask for")
    return module


class _TextLoader(SourceFileLoader):
    """Compiles what the file says now. Python's own loader takes what it has compiled for a file of that time, to the
    second, and that length, and leaves it beside the file."""

    def get_code(self, _: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def load_deployed(directory: Path, settings: Federation) -> ModuleType | None:
    """As `load`, of a file that was deployed: by an earlier version perhaps, for which it imports `cloud.policies`."""
    sys.modules.setdefault("cloud.policies", policies)
    return load(directory, settings)


def call(function: Callable[..., Any], kind: Any, *arguments: Any) -> Any:
    """What a custom function returns, checked to be of a type.

    Raises:
        InvalidPolicyError: it raised, or returned something else; the text names the function.
    """
    name = getattr(function, "__name__", "function")
    try:
        return msgspec.convert(function(*arguments), kind)
    except msgspec.ValidationError as error:
        raise InvalidPolicyError(f"policies.py: {name} returned a wrong value: {error}") from error
    except Exception as error:
        raise InvalidPolicyError(f"policies.py: {name} failed: {type(error).__name__}: {error}") from error
