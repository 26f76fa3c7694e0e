"""Each field of the settings by itself: whether it is one, and whether its value is of the kind that it takes.

The kinds are those of the structs that the settings become.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from cli.settings import meant
from cli.settings.problems import Path, Problem, shown
from cli.settings.yaml_file import is_number
from cloud.settings import FORMER_NAMES, Federation, InvalidSettingsError, amount_of

FILE = "federation.yaml"
_UNBOUNDED = 2**53
"""From here on nobody asks how large a number may be."""


def checked(raw: Mapping[str, Any], found: list[Problem], kind: type[msgspec.Struct] = Federation) -> dict[str, Any]:
    """The fields of a federation that can be used, as its structs take them; what can't be is told in `found`. Another
    `kind` of file is checked by its struct, if it has no fields but those."""
    return _struct(raw, kind, (), found)


def _struct(raw: Any, kind: type[msgspec.Struct], path: Path, found: list[Problem]) -> dict[str, Any]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    tag = kind.__struct_config__.tag_field
    if not isinstance(raw, Mapping):
        found.append(Problem(path, f"{shown(raw)}: use fields with values{_example(raw, fields)}"))
        return {}
    values: dict[str, Any] = {}
    meant_names = {meant.near(name, fields) for name in raw if name not in fields}
    for name, value in raw.items():
        if name in fields:
            before = len(found)
            usable = _value(value, fields[name].type, (*path, name), found)
            if len(found) == before:
                values[name] = usable
        elif name != tag:
            found.append(Problem((*path, name), _unknown(name, path, [*fields, *([tag] if tag else [])])))
    found.extend(
        Problem((*path, field.name), f"is missing: use {allowed(inspect.type_info(field.type))}")
        for field in fields.values()
        if field.required and field.name not in raw and field.name not in meant_names
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
    found.append(Problem(path, f"{shown(raw)}: use {allowed(information)}{finite}{_hint(raw, information)}"))
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
        wanted = raw if isinstance(raw, str) and raw in names else "..."
        found.append(Problem(path, f"{shown(raw)}: write {{name: {wanted}}}, with one of {', '.join(names)}"))
        return None
    return {"name": name} | _struct(raw, structs[name], path, found)


def _example(raw: Any, fields: Mapping[str, Any]) -> str:
    """How fields are given, of those that were perhaps meant."""
    if isinstance(raw, list) and raw and all(isinstance(item, Mapping) for item in raw):
        return ", without the '-' before each"
    for name, field in fields.items():
        information = inspect.type_info(field.type)
        if isinstance(information, inspect.LiteralType) and raw in information.values:
            return f": {{{name}: {raw}}}"
    return f", such as {{{next(iter(fields))}: ...}}"


def _first(information: inspect.Type) -> inspect.Type:
    return information.types[0] if isinstance(information, inspect.UnionType) else information


def allowed(information: inspect.Type) -> str:
    """What a field takes, in words."""
    match information:
        case inspect.UnionType(types=(inspect.IntType(), inspect.StrType(), *_)):
            return "a number of clients from 1, or a share of them above 0%, up to 100%, such as 80%"
        case inspect.UnionType(types=types):
            return allowed(next(kind for kind in types if not isinstance(kind, inspect.NoneType)))
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
    if kind.le is not None and kind.le >= _UNBOUNDED:
        return f" from {_bound(kind.ge)}" if kind.ge is not None else ""
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
    if isinstance(raw, str) and takes_numbers and (meant_number := meant.number(raw)) is not None:
        return f"; did you mean {meant_number:g}?"
    takes_shares = takes_numbers and any(isinstance(kind, inspect.StrType) for kind in kinds)
    if isinstance(raw, str) and takes_shares and (share := meant.share(raw)) is not None:
        return f"; did you mean {share:g}%?"
    if isinstance(raw, float) and 0 < raw < 1 and takes_shares:
        return f"; did you mean {100 * raw:g}%?"
    if isinstance(raw, bool | int | float) and isinstance(kinds[0], inspect.StrType):
        return "; put it in quotes"
    if isinstance(kinds[0], inspect.LiteralType):
        former = FORMER_NAMES.get(raw) if isinstance(raw, str) else None
        if former in kinds[0].values:
            return f"; {raw} is now {former}"
        values = [str(value) for value in kinds[0].values]
        close = meant.value(str(raw), values)
        others = [".".join(path) for path, names in _names(Federation, ()) if raw in names]
        optimizer = f"; as {others[0]} it is {{name: {raw}}}" if others else ""
        return (f"; did you mean {close}?" if close else "") + optimizer
    return ""


def _unknown(name: str, path: Path, known: Iterable[str]) -> str:
    where = ".".join(path) or FILE
    close = meant.near(name, known)
    if close:
        return f"there is no such field in {where}; did you mean {close}?"
    dotted = tuple(name.split("."))
    paths = list(_paths(Federation, ()))
    other = meant.elsewhere(name)
    if dotted in paths and len(dotted) > 1:
        return (
            f"there is no such field in {where}; write {dotted[-1]} on a line of its own below {'.'.join(dotted[:-1])}:"
        )
    elsewhere = [".".join(each) for each in paths if each[-1] == name.lower()] or ([other] if other else [])
    if elsewhere:
        margin = ", at the left margin" if elsewhere == [name.lower()] else ""
        return f"there is no such field in {where}; did you mean {' or '.join(elsewhere)}{margin}?"
    return f"there is no such field in {where}; it has {', '.join(known)}"


def near(name: str, known: Iterable[str]) -> str:
    """Which of the known names may have been meant."""
    close = meant.near(name, known)
    return f"; did you mean {close}?" if close else ""


def _names(kind: type[msgspec.Struct], path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The names of kinds that are told apart by them, where these can be chosen."""
    for field in msgspec.structs.fields(kind):
        structs = _structs(field.type)
        tags = [str(struct.__struct_config__.tag) for struct in structs if struct.__struct_config__.tag is not None]
        if tags:
            yield (*path, field.name), tags
        for struct in structs:
            if struct.__struct_config__.tag is None:
                yield from _names(struct, (*path, field.name))


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
