"""What the operations of the API have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.greengrass.errors import ValidationError

_PAGE = 50

Parameters = Mapping[str, Any]
Result = dict[str, Any]
Operation = Callable[[Parameters], Result]
"""Parameters and results are as botocore's model has them. It may raise ServiceError."""


def page(name: str, items: Sequence[Any], asked: Parameters) -> Result:
    """The part of a list that was asked for."""
    token = asked.get("nextToken") or "0"
    if not token.isdigit():
        raise ValidationError(f"nextToken {token!r} is not of this list")
    begin = int(token)
    end = begin + asked.get("maxResults", _PAGE)
    return {name: list(items[begin:end]), "nextToken": str(end) if end < len(items) else None}
