import pytest

from sandbox.nucleus.configuration import Configuration, UnknownKeyError


def test_maps_are_merged_and_all_else_is_replaced() -> None:
    configuration = Configuration({"a": {"b": 1, "c": [1, 2]}, "d": 1})
    configuration.merge(["a"], {"c": [3], "e": {"f": 2}})
    assert configuration.values == {"a": {"b": 1, "c": [3], "e": {"f": 2}}, "d": 1}


def test_defaults_do_not_replace_what_is_set() -> None:
    configuration = Configuration({"a": {"b": 1}})
    configuration.add_defaults({"a": {"b": 0, "c": 0}, "d": 0})
    assert configuration.values == {"a": {"b": 1, "c": 0}, "d": 0}


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
