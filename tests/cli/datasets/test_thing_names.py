"""cli/datasets/thing_names.py: names that things may have, made of what is in a column."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.datasets import thing_names
from protocol.names import check_thing


@given(st.lists(st.text(max_size=300), unique=True, max_size=20), st.text(max_size=300))
def test_whatever_the_values_are_each_gets_a_legal_name_of_its_own(values: list[str], column: str) -> None:
    names = thing_names.of_values(values, column)
    assert [check_thing(name) for name in names] == names
    assert len({name.casefold() for name in names}) == len(values)


@given(st.lists(st.text(max_size=30), unique=True, min_size=2, max_size=10))
def test_a_value_keeps_its_name_when_others_come_and_go(values: list[str]) -> None:
    names = dict(zip(values, thing_names.of_values(values, "user"), strict=True))
    (alone,) = thing_names.of_values(values[:1], "user")
    alike = [name for name in names.values() if name.casefold().startswith(alone.casefold())]
    assert names[values[0]] == alone or len(alike) > 1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("alice", "alice"),
        ("pi-7_a", "pi-7_a"),
        ("7", "user-7"),
        ("007", "user-007"),
        ("-3", "user-3-[0-9a-f]{8}"),
        ("Alice Smith", "Alice-Smith-[0-9a-f]{8}"),
        ("José", "Jose-[0-9a-f]{8}"),
        ("李雷", "user-[0-9a-f]{8}"),
        ("../etc", "etc-[0-9a-f]{8}"),
        ("a:b", "a-b-[0-9a-f]{8}"),
        ("x" * 500, "x{100}-[0-9a-f]{8}"),
    ],
)
def test_a_name_can_be_read(value: str, name: str) -> None:
    assert re.fullmatch(name, thing_names.of_values([value], "user")[0])


def test_names_that_a_disk_might_take_for_one_are_told_apart() -> None:
    one, other = thing_names.of_values(["Alice", "alice"], "user")
    assert one.casefold() != other.casefold()


def test_numbered_names_sort_as_they_count() -> None:
    assert thing_names.numbered(2) == ["device-000", "device-001"]
    assert thing_names.numbered(2000) == sorted(thing_names.numbered(2000))
