from typing import Any

import pytest

from sandbox.nucleus.configuration import Configuration, UnknownKeyError, updated


def test_maps_are_merged_and_all_else_is_replaced() -> None:
    configuration = Configuration({"a": {"b": 1, "c": [1, 2]}, "d": 1})
    configuration.merge(["a"], {"c": [3], "e": {"f": 2}})
    assert configuration.values == {"a": {"b": 1, "c": [3], "e": {"f": 2}}, "d": 1}


@pytest.mark.parametrize(
    ("reset", "merge", "result"),
    [
        ([], {}, {"a": {"b": 1, "c": 0}, "d": 0, "own": 1}),
        (["/a/b", "/own"], {}, {"a": {"b": 0, "c": 0}, "d": 0}),
        (["/nowhere/x"], {"d": 5}, {"a": {"b": 1, "c": 0}, "d": 5, "own": 1}),
        ([""], {"a": {"b": 7}}, {"a": {"b": 7, "c": 0}, "d": 0}),
    ],
)
def test_a_deployment_resets_then_adds_defaults_that_are_missing_then_merges(
    reset: list[str], merge: dict[str, Any], result: dict[str, Any]
) -> None:
    values, defaults = {"a": {"b": 1}, "own": 1}, {"a": {"b": 0, "c": 0}, "d": 0}
    assert updated(values, defaults, reset, merge) == result
    assert (values, defaults) == ({"a": {"b": 1}, "own": 1}, {"a": {"b": 0, "c": 0}, "d": 0})


def test_a_missing_key_is_told() -> None:
    with pytest.raises(UnknownKeyError, match="a/x"):
        Configuration({"a": {"b": 1}}).get(["a", "x"])


def test_listeners_hear_of_changes_at_and_below_their_path_only() -> None:
    configuration = Configuration({"a": {"b": 1}, "c": 1})
    heard: list[object] = []
    stop = configuration.listen(["a"], heard.append)
    configuration.merge([], {"a": {"b": 2, "new": 1}, "c": 2})
    configuration.merge([], {"a": {"b": 2}})
    assert heard == [("a", "b"), ("a", "new")]
    stop()
    configuration.merge([], {"a": {"b": 3}})
    assert len(heard) == 2
