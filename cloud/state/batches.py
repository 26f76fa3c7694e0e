"""Items of the tables that are read together, by their keys."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_boto3_dynamodb import DynamoDBClient

    from cloud.state.records import Item

KEYS_AT_ONCE = 100
"""DynamoDB gives no more items in one call."""


def read_items(dynamodb: "DynamoDBClient", keys: "Sequence[tuple[str, Item]]") -> dict[str, list[Any]]:
    """The items that there are of these keys, each with its table; by table, as they are now."""
    found: dict[str, list[Any]] = defaultdict(list)
    for start in range(0, len(keys), KEYS_AT_ONCE):
        wanted: dict[str, Any] = {}
        for table, key in keys[start : start + KEYS_AT_ONCE]:
            wanted.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(key)
        while wanted:
            answer = dynamodb.batch_get_item(RequestItems=wanted)
            for table, items in answer["Responses"].items():
                found[table] += items
            wanted = answer.get("UnprocessedKeys", {})
    return found
