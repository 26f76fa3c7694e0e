"""Conditions of writes: that an item is of this life, is new, has the same things expelled, or the same settings."""

from typing import Any


def same_life(life: str) -> str:
    """That an item is of this life, which `:life` stands for. One of a federation that is older than lives may not say
    so."""
    return "life = :life" if life else "(attribute_not_exists(life) OR life = :life)"


def same_expelled(expelled: tuple[str, ...]) -> str:
    """That an item has these things expelled, which `:expelled` stands for. One of an earlier version has none."""
    return "expelled = :expelled" if expelled else "(attribute_not_exists(expelled) OR expelled = :expelled)"


def same_revision(revision: int) -> str:
    """That an item's settings have been changed so often, which `:revision` stands for. One of an earlier version does
    not say so."""
    return "revision = :revision" if revision else "(attribute_not_exists(revision) OR revision = :revision)"


def is_new(key: str, life: str) -> dict[str, Any]:
    """That there is no such item of this life, as arguments of a put; `key` is an attribute that each item has."""
    is_missing = f"attribute_not_exists({key})"
    if not life:
        return {"ConditionExpression": is_missing}
    return {
        "ConditionExpression": f"({is_missing} OR attribute_not_exists(life) OR life <> :life)",
        "ExpressionAttributeValues": {":life": {"S": life}},
    }
