"""Names for clients: by number, or made of the values of a column, so that each could be a thing's in AWS IoT."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_LONGEST = 100
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]+")


def numbered(count: int) -> list[str]:
    """Names for so many devices, in an order that sorting keeps."""
    digits = max(3, len(str(count - 1)))
    return [f"device-{number:0{digits}d}" for number in range(count)]


def of_values(values: Sequence[str], column: str) -> list[str]:
    """A name for each value of a column: the value itself where a thing may have it as its name. A number gets the
    column's name before it. What had to be changed ends with a few digits of the value's hash: the name is always the
    same for the same value, and no other value's."""
    names = [_named(value, column) for value in values]
    uses = Counter(name.casefold() for name in names)  # there are disks that take A and a for the same
    return [
        name if uses[name.casefold()] == 1 else f"{name}-{_digest(value)}"
        for name, value in zip(names, values, strict=True)
    ]


def _named(value: str, column: str) -> str:
    plain = _legal(value)
    name = plain if plain[:1].isalpha() else f"{_legal(column) or 'client'}-{plain}".rstrip("-")
    return name if plain == value and len(name) <= _LONGEST else f"{name[:_LONGEST].rstrip('-')}-{_digest(value)}"


def _legal(text: str) -> str:
    """What of a text a name may have; letters lose their accents."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _ILLEGAL.sub("-", ascii_only).strip("-")


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()[:8]
