"""What a task gives, converted where it comes in: numbers of Python, numpy and torch become plain ones, and what is
none of these is refused by name.

Infinities and nan are numbers. torch and numpy are not imported here: their scalars have a shape and an item().
"""

import contextlib
import logging
import math
from collections.abc import Mapping
from typing import Any

from protocol.messages import MAX_INTEGER

log = logging.getLogger(__name__)

_MAX_DEPTH = 50
_MAX_BITS = 10_000

_complaints: set[str] = set()


class ValueRefusedError(TypeError):
    """A task gave something that has no meaning where it was given; the text names it, and says what to give."""


def number(value: object, what: str) -> float:
    """A number, a bool, or an array or tensor of one of these, as a float.

    Raises:
        ValueRefusedError: it is none of these.
    """
    plain = _plain(value)
    if plain is None or isinstance(plain, str | bytes | bytearray) or not hasattr(plain, "__float__"):
        raise ValueRefusedError(f"{what} is {_kind(value)}: give a number")
    try:
        return float(plain)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueRefusedError(f"{what} is {_kind(value)}: give a number ({error})") from error


def metrics(given: Mapping[Any, Any], where: str) -> dict[str, float]:
    """Numbers by name, as `where` has returned them.

    Raises:
        ValueRefusedError: a value is no number, or a name is no text.
    """
    converted: dict[str, float] = {}
    for key, value in given.items():
        plain = _plain(key)
        if not isinstance(plain, int | str) or not is_text(str(plain)):
            raise ValueRefusedError(f"{where} has to return numbers by name: a name is {key!r}, {_kind(key)}")
        name = str(plain)
        if name in converted:
            raise ValueRefusedError(f"{where} has returned {name!r} twice")
        converted[name] = number(value, f"{where} has to return numbers by name: {name!r}")
    return converted


def checkpoint_values(given: Mapping[Any, Any]) -> dict[str, Any]:
    """The values of a checkpoint, as they will come back: numbers, texts, None, and lists and dicts of these.

    Raises:
        ValueRefusedError: one of them is something else.
    """
    if not isinstance(given, Mapping):
        raise ValueRefusedError(f"checkpoint(): values is {_kind(given)}: give a dict")
    converted: dict[str, Any] = _kept(given, "values", 0)
    return converted


def count(value: object, what: str) -> int | None:
    """A count of progress; what is none is left out, with one line in the log."""
    if value is None:
        return None
    try:
        found = number(value, what)
    except ValueRefusedError as error:
        _complain(what, str(error))
        return None
    if not (found.is_integer() and 0 <= found <= MAX_INTEGER):
        _complain(what, f"{what} is {found:g}: give a whole number from 0")
        return None
    return int(found)


def flag(value: object, what: str) -> bool:
    """Whether it is so.

    Raises:
        ValueRefusedError: it says neither.
    """
    found = number(value, what)
    if math.isnan(found):
        raise ValueRefusedError(f"{what} is nan: give True or False")
    return bool(found)


def _complain(what: str, reason: str) -> None:
    if what not in _complaints:
        _complaints.add(what)
        log.warning("progress that says nothing is left out", extra={"reason": reason})


def _kept(value: Any, what: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueRefusedError(f"checkpoint(): {what[:80]}... is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueRefusedError(f"checkpoint(): {what} has the key {key!r}, {_kind(key)}: use str()")
        return {str(key): _kept(item, f"{what}[{key!r}]", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_kept(item, f"{what}[{index}]", depth + 1) for index, item in enumerate(value)]
    plain = _plain(value)
    if plain is None or isinstance(plain, bool):
        return plain
    if isinstance(plain, int) and plain.bit_length() > _MAX_BITS:
        raise ValueRefusedError(f"checkpoint(): {what} is an integer of {plain.bit_length()} bits: {_MAX_BITS} at most")
    for kind in (int, float, str):
        if isinstance(plain, kind):
            return kind(plain)
    raise ValueRefusedError(
        f"checkpoint(): {what} is {_kind(value)}: give numbers, texts, None, or lists and dicts of these; "
        "put tensors and arrays into tensors"
    )


def _plain(value: Any) -> Any:
    """The one element of an array or tensor, as Python has it; anything else as it is."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "item") and math.prod(shape) == 1:
        with contextlib.suppress(RuntimeError, ValueError, TypeError):  # it has none: it will be refused as it is
            return value.item()
    return value


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    of = f" of shape {list(shape)}" if isinstance(shape, tuple) else ""
    return f"{type(value).__module__}.{type(value).__qualname__}{of}".removeprefix("builtins.")


def is_text(name: str) -> bool:
    """Whether this can be written as UTF-8: halves of surrogate pairs can't."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
