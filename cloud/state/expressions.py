"""What DynamoDB is told of a write in its own language: updates of items, and the conditions of writes."""

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from cloud.state.records import Item, to_attribute

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import UpdateTypeDef


def update_of(table: str, key: Item, changes: str, values: Mapping[str, Any], condition: str = "") -> "UpdateTypeDef":
    """The update of an item with its `changes` and its `condition`. In both :<name> stands for one of the `values`, and
    #<name> for the attribute of this name, which may be a word that DynamoDB keeps for itself."""
    update: UpdateTypeDef = {
        "TableName": table,
        "Key": key,
        "UpdateExpression": changes,
        "ExpressionAttributeValues": {f":{name}": to_attribute(value) for name, value in values.items()},
    }
    if condition:
        update["ConditionExpression"] = condition
    if names := re.findall(r"#(\w+)", f"{changes} {condition}"):
        update["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
    return update


def setting(attributes: Collection[str], removed: Collection[str] = ()) -> str:
    """That attributes become the values of the same names, and that others are `removed`."""
    changes = "SET " + ", ".join(f"#{name} = :{name}" for name in attributes)
    return changes + (" REMOVE " + ", ".join(f"#{name}" for name in removed) if removed else "")


def same(attribute: str, value: object) -> str:
    """That an item's attribute has this value, which :<attribute> stands for. An item of an earlier version may be
    without it, if there is nothing in it: the life of a federation that is older than lives, what it has expelled, or
    how often its settings have been changed."""
    is_same = f"{attribute} = :{attribute}"
    return is_same if value else f"(attribute_not_exists({attribute}) OR {is_same})"


def is_new(key: str, life: str) -> dict[str, Any]:
    """That there is no such item of this life, as arguments of a put; `key` is an attribute that each item has."""
    is_missing = f"attribute_not_exists({key})"
    if not life:
        return {"ConditionExpression": is_missing}
    return {
        "ConditionExpression": f"({is_missing} OR attribute_not_exists(life) OR life <> :life)",
        "ExpressionAttributeValues": {":life": {"S": life}},
    }
