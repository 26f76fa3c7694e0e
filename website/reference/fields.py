"""The fields of a struct: their names, what they take, and what they are if they are not given."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import inspect

from cli.settings.fields import allowed
from website.markdown import code, docstring, table


def of_struct(kind: type[msgspec.Struct], left_out: frozenset[str] = frozenset()) -> str:
    """What a struct says of itself, and its fields."""
    return f"{docstring(kind)}\n\n{listed(kind, {}, left_out)}"


def listed(kind: type[msgspec.Struct], meanings: Mapping[str, str], left_out: frozenset[str] = frozenset()) -> str:
    """The fields as a table; `meanings` are Markdown, by field: there is no column for none."""
    columns = ("field", "takes", "default", *(["meaning"] if meanings else []))
    return table(columns, _rows(kind, meanings, left_out))


def _rows(kind: type[msgspec.Struct], meanings: Mapping[str, str], left_out: frozenset[str]) -> Iterator[list[str]]:
    for field in msgspec.structs.fields(kind):
        if field.name not in left_out:
            meaning = [meanings[field.name]] if meanings else []
            yield [code(field.name), _takes(inspect.type_info(field.type)), default(field), *meaning]


def default(field: msgspec.structs.FieldInfo) -> str:
    """What a field is if it is not given."""
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None:
        return "none"
    if isinstance(value, msgspec.Struct):
        return code(getattr(value, "name", "")) or "its fields' defaults"
    return code(msgspec.json.encode(value).decode())


def _takes(information: inspect.Type) -> str:
    match information:
        case inspect.UnionType(types=types) if inspect.NoneType() in types:
            return " or ".join(_takes(kind) for kind in types if not isinstance(kind, inspect.NoneType)) + ", or none"
        case inspect.UnionType(types=types) if all(isinstance(kind, inspect.StructType) for kind in types):
            names = [kind.cls.__struct_config__.tag for kind in types if isinstance(kind, inspect.StructType)]
            return f"fields with a `name`, one of {', '.join(map(code, map(str, names)))}"
        case inspect.StructType(cls=kind):
            return f"the fields of {kind.__name__}"
        case inspect.LiteralType(values=values):
            return ", ".join(code(str(value)) for value in values)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"list of {_takes(item)}"
        case inspect.DictType(value_type=value):
            return f"by name, {_takes(value)}"
        case inspect.AnyType():
            return "anything"
        case _:
            return allowed(information)
