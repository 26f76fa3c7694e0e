"""What is wrong with settings: where, and what would be right."""

import reprlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

Path = tuple[str, ...]

_SHOWN = 80


class Problem(NamedTuple):
    """One fault of federation.yaml: the field that it concerns, () for the whole, and what to do about it."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.text}" if self.path else self.text


def shown(value: Any) -> str:
    """A value of a user's file, about as it stands there, but not at any length."""
    if value is None:
        return "it is empty"
    if isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, list | dict):
        text = reprlib.repr(value)  # by aliases, few lines can make more of these than there is memory
    else:
        text = msgspec.json.encode(value, enc_hook=str).decode(errors="backslashreplace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def told(problems: Iterable[Problem]) -> str:
    """All of them, one a line."""
    return "\n".join(map(str, problems))
