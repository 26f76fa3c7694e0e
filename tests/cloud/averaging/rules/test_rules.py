"""cloud/averaging/rules: what each rule is like, looked up in one place."""

from typing import get_args

import msgspec
import numpy as np
import pytest

from cloud.averaging.rules import least_updates, rule_of
from cloud.settings import Averaging, RuleName

NAMES: tuple[RuleName, ...] = get_args(RuleName)
every_rule = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        (Averaging(rule="mean"), 1),
        (Averaging(rule="weighted"), 1),
        (Averaging(rule="custom"), 1),
        (Averaging(rule="median"), 3),
        (Averaging(rule="trimmed_mean"), 3),
        (Averaging(rule="trimmed_mean", trim=0), 1),
        (Averaging(rule="krum", byzantine=0), 3),
        (Averaging(rule="krum"), 5),
        (Averaging(rule="multi_krum", byzantine=50), 103),
    ],
    ids=repr,
)
def test_each_rule_has_a_least_number_of_updates(settings: Averaging, least: int) -> None:
    assert least_updates(settings) == least


def test_no_robust_rule_makes_a_model_of_two_updates_one_of_which_may_be_bad() -> None:
    assert {name for name in NAMES if rule_of(name).is_robust} == {
        name for name in NAMES if least_updates(Averaging(rule=name)) > 2
    }


def test_each_name_has_a_rule_of_its_own() -> None:
    assert len({id(rule_of(name)) for name in NAMES}) == len(NAMES)


@every_rule
def test_what_a_rule_heeds_are_settings_of_averaging(name: RuleName) -> None:
    rule = rule_of(name)
    assert rule.settings | {rule.least.setting} <= {field.name for field in msgspec.structs.fields(Averaging)}


@every_rule
def test_a_robust_rule_takes_no_ones_word_on_examples(name: RuleName) -> None:
    assert not (rule_of(name).is_robust and rule_of(name).counts_examples)


@pytest.mark.parametrize(("name", "selected"), [("krum", [2]), ("multi_krum", [1, 2, 3, 4])])
def test_rules_that_select_take_the_clients_that_are_near_to_the_others(name: RuleName, selected: list[int]) -> None:
    select = rule_of(name).select
    assert select is not None
    places = np.array([[100.0], [1.0], [1.5], [2.0], [2.5]])
    assert select((places - places.T) ** 2, Averaging(rule=name)) == selected
    assert len(select(np.zeros((7, 7)), Averaging(rule=name, byzantine=2))) == {"krum": 1, "multi_krum": 5}[name]


def test_the_other_rules_select_no_one() -> None:
    assert [name for name in NAMES if rule_of(name).select is not None] == ["krum", "multi_krum"]
