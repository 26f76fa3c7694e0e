import pytest

from components.client.agent.conditions import Conditions
from components.client.agent.configuration import Configuration, ConfigurationError, parse
from components.client.agent.gate import Policy


def test_numbers_may_come_as_strings_and_unknown_keys_are_ignored() -> None:
    raw = {"federation": "digits", "bucket": "b-1", "reconcile_s": "60", "threads": "2", "accessControl": {"a": 1}}
    assert parse(raw) == Configuration(federation="digits", bucket="b-1", reconcile_s=60.0, threads=2)


def test_numbers_may_come_as_numbers() -> None:
    assert parse({"federation": "digits", "bucket": "b", "keep_warm_s": 0}).keep_warm_s == 0.0


def test_empty_and_null_values_take_the_default() -> None:
    raw = {"federation": "digits", "bucket": "b", "dataset": None, "reconcile_s": "", "threads": None}
    assert parse(raw) == Configuration(federation="digits", bucket="b")


def test_conditions_are_part_of_it() -> None:
    raw = {
        "federation": "digits",
        "bucket": "b",
        "hours": "22:00-06:00",
        "max_temperature_c": "70",
        "mains_only": "true",
        "unmetered_only": True,
        "when_not_ready": "wait",
    }
    conditions = Conditions(hours="22:00-06:00", max_temperature_c=70.0, mains_only=True, unmetered_only=True)
    assert parse(raw).policy == Policy(conditions=conditions, wait=True)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"bucket": "b"}, "federation"),
        ({"federation": "", "bucket": "b"}, "federation"),
        ({"federation": "digits"}, "bucket"),
        ({"federation": "Not A Name", "bucket": "b"}, "Not A Name"),
        ({"federation": "digits", "bucket": "b", "reconcile_s": "soon"}, "reconcile_s"),
        ({"federation": "digits", "bucket": "b", "reconcile_s": "inf"}, "reconcile_s"),
        ({"federation": "digits", "bucket": "b", "memory_mb": "inf"}, "memory_mb"),
        ({"federation": "digits", "bucket": "b", "threads": -1}, "threads"),
        ({"federation": "digits", "bucket": "b", "hours": "at night"}, "at night"),
        ({"federation": "digits", "bucket": "b", "min_battery_percent": 101}, "min_battery_percent"),
        ({"federation": "digits", "bucket": "b", "when_not_ready": "sleep"}, "when_not_ready"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(raw: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        parse(raw)
    assert "configurationUpdate" in str(caught.value)
