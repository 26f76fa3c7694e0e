"""What another version of fedgrass has written: a newer one's without the fields that this one does not know, an older
one's with the names that choices have now.

Settings refuse unknown fields, since a user who writes one has misspelt it. In a record that is no reason to stop.
"""

import functools
from typing import Any

from msgspec import inspect

from cloud.settings import FORMER_NAMES


def known_fields(value: Any, kind: type) -> Any:
    """A value that JSON gave, without what `kind` has no field for, and with today's names of choices, at any depth."""
    return _known(value, _description(kind))


_description = functools.cache(inspect.type_info)


def _known(value: Any, kind: inspect.Type) -> Any:
    match kind:
        case inspect.UnionType(types=members):
            return next((_known(value, member) for member in members if _may_be(value, member)), value)
        case inspect.StructType(fields=fields, tag_field=tag_field) if isinstance(value, dict):
            kinds = {field.encode_name: field.type for field in fields}
            tag = {name: value[name] for name in (tag_field,) if name is not None and name in value}
            return tag | {name: _known(value[name], kinds[name]) for name in kinds if name in value}
        case inspect.CollectionType(item_type=item) if isinstance(value, list):
            return [_known(one, item) for one in value]
        case inspect.DictType(value_type=item) if isinstance(value, dict):
            return {name: _known(one, item) for name, one in value.items()}
        case inspect.LiteralType(values=names) if isinstance(value, str) and value not in names:
            return FORMER_NAMES.get(value, value)
        case _:
            return value


def _may_be(value: Any, kind: inspect.Type) -> bool:
    match kind:
        case inspect.StructType(tag_field=tag_field, tag=tag):
            return isinstance(value, dict) and (tag_field is None or value.get(tag_field) == tag)
        case inspect.CollectionType():
            return isinstance(value, list)
        case _:
            return isinstance(kind, inspect.DictType) and isinstance(value, dict)
