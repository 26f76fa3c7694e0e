"""What AWS lists in pages."""

from collections.abc import Iterator
from typing import Any


def listed(client: Any, operation: str, field: str, **arguments: Any) -> Iterator[Any]:
    """All that an operation of a boto3 client lists, page by page as it is asked for: what each has in this field."""
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get(field, ())
