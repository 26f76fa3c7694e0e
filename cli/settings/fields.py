"""Each field of the settings by itself: whether it is one, and whether its value is of the kind that it takes.

The kinds are those of the structs that the settings become.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from cli.settings.problems import Path, Problem, shown
from cli.settings.yaml_file import is_number
from cloud.settings import FORMER_NAMES, Federation, InvalidSettingsError, amount_of

_NEAR = 0.7
"""How alike two words are, from 0 to 1, for one to have been meant by the other."""


def checked(raw: Mapping[str, Any], found: list[Problem], kind: type[msgspec.Struct] = Federation) -> dict[str, Any]:
    """The fields of a federation that can be used, as its structs take them; what can't be is told in `found`. Another
    `kind` of file is checked by its struct, if it has no fields but those."""
    return _struct(raw, kind, (), found)


def _struct(raw: Any, kind: type[msgspec.Struct], path: Path, found: list[Problem]) -> dict[str, Any]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    tag = kind.__struct_config__.tag_field
    if not isinstance(raw, Mapping):
        example = f"{{name: {raw}}}" if tag is not None else f"{{{next(iter(fields))}: ...}}"
        found.append(Problem(path, f"{shown(raw)}: use fields with values, such as {example}"))
        return {}
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name in fields:
            before = len(found)
            usable = _value(value, fields[name].type, (*path, name), found)
            if len(found) == before:
                values[name] = usable
        elif name != tag:
            found.append(Problem((*path, name), _unknown(name, path, [*fields, *([tag] if tag else [])])))
    found.extend(
        Problem((*path, field.name), f"is missing: use {_allowed(inspect.type_info(field.type))}")
        for field in fields.values()
        if field.required and field.name not in raw
    )
    return values


def _value(raw: Any, kind: Any, path: Path, found: list[Problem]) -> Any:
    structs = {struct.__struct_config__.tag: struct for struct in _structs(kind)}
    if None in structs:
        return _struct(raw, structs[None], path, found)
    if structs:
        return _tagged(raw, structs, path, found)
    information = inspect.type_info(kind)
    if isinstance(raw, float) and raw.is_integer() and isinstance(_first(information), inspect.IntType):
        raw = int(raw)  # 1e3 is a whole number
    infinite = isinstance(raw, float) and not math.isfinite(raw)
    try:
        value = msgspec.convert(raw, kind)
        if isinstance(_first(information), inspect.IntType) and isinstance(value, str):
            amount_of(value, 1)
        if not infinite:
            return value
    except (msgspec.ValidationError, InvalidSettingsError):
        infinite = infinite and isinstance(_first(information), inspect.FloatType)
    finite = " that is finite" if infinite else ""
    found.append(Problem(path, f"{shown(raw)}: use {_allowed(information)}{finite}{_hint(raw, information)}"))
    return None


def _tagged(raw: Any, structs: Mapping[Any, type[msgspec.Struct]], path: Path, found: list[Problem]) -> Any:
    """A struct that is told apart from others by its `name`."""
    names = [str(tag) for tag in structs]
    name = raw.get("name") if isinstance(raw, Mapping) else None
    if isinstance(raw, Mapping) and (not isinstance(name, str) or name not in names):
        given = "is missing" if name is None else shown(name)
        found.append(Problem((*path, "name"), f"{given}: use one of {', '.join(names)}{near(str(name), names)}"))
        return None
    if name is None:
        found.append(Problem(path, f"{shown(raw)}: use {{name: ...}} with one of {', '.join(names)}"))
        return None
    return {"name": name} | _struct(raw, structs[name], path, found)


def _first(information: inspect.Type) -> inspect.Type:
    return information.types[0] if isinstance(information, inspect.UnionType) else information


def _allowed(information: inspect.Type) -> str:
    """What a field takes, in words."""
    match information:
        case inspect.UnionType(types=(inspect.IntType(), inspect.StrType())):
            return "a number of clients from 1, or a share of them from 0% to 100%, such as 80%"
        case inspect.UnionType(types=types):
            return _allowed(next(kind for kind in types if not isinstance(kind, inspect.NoneType)))
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_bounds(information)}"
        case inspect.FloatType():
            return f"a number{_bounds(information)}"
        case inspect.StructType(fields=fields):
            needed = [field.encode_name for field in fields if field.required]
            return f"fields with values: {', '.join(needed)}, ..."
        case _:
            return "a text"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {_bound(kind.ge)} to {_bound(kind.le)}"
    bounds = {"above": kind.gt, "from": kind.ge, "below": kind.lt, "up to": kind.le}
    return ",".join(f" {word} {_bound(bound)}" for word, bound in bounds.items() if bound is not None)


def _bound(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _hint(raw: Any, information: inspect.Type) -> str:
    """What may have been meant."""
    kinds = information.types if isinstance(information, inspect.UnionType) else (information,)
    takes_numbers = any(isinstance(kind, inspect.IntType | inspect.FloatType) for kind in kinds)
    if isinstance(raw, str) and takes_numbers and is_number(raw):
        return "; a number stands without quotes"
    if isinstance(raw, str) and takes_numbers and is_number(raw.removesuffix("%")):
        return f"; did you mean {float(raw[:-1]) / 100:g}?" if isinstance(kinds[0], inspect.FloatType) else ""
    takes_shares = takes_numbers and any(isinstance(kind, inspect.StrType) for kind in kinds)
    if isinstance(raw, float) and 0 < raw < 1 and takes_shares:
        return f"; did you mean {100 * raw:g}%?"
    if isinstance(raw, bool | int | float) and isinstance(kinds[0], inspect.StrType):
        return "; put it in quotes"
    if isinstance(information, inspect.LiteralType):
        former = FORMER_NAMES.get(raw) if isinstance(raw, str) else None
        if former in information.values:
            return f"; {raw} is now {former}"
        return near(str(raw), [str(value) for value in information.values])
    return ""


def _unknown(name: str, path: Path, known: Iterable[str]) -> str:
    hint = near(name, known)
    if not hint:
        elsewhere = [".".join(other) for other in _paths(Federation, ()) if other[-1] == name.lower()]
        hint = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else ""
    where = ".".join(path) or "federation.yaml"
    return f"there is no such field in {where}" + (hint or "; it has " + ", ".join(known))


def near(name: str, known: Iterable[str]) -> str:
    """Which of the known names may have been meant."""
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), n=1, cutoff=_NEAR)
    return f"; did you mean {matches[0]}?" if matches else ""


def _paths(kind: type[msgspec.Struct], path: Path) -> Iterator[Path]:
    for field in msgspec.structs.fields(kind):
        yield (*path, field.name)
        for struct in _structs(field.type):
            if struct.__struct_config__.tag is None:
                yield from _paths(struct, (*path, field.name))


def _structs(kind: Any) -> list[type[msgspec.Struct]]:
    """The structs that a value of this kind may be."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]
