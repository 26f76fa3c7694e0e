"""cloud/averaging/rules.py: what each rule needs."""

from typing import get_args

import pytest

from cloud.averaging.rules import is_robust, least_updates
from cloud.settings import Averaging, Rule


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        (Averaging(rule="mean"), 1),
        (Averaging(rule="weighted"), 1),
        (Averaging(rule="own"), 1),
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
    rules: tuple[Rule, ...] = get_args(Rule)
    assert {rule for rule in rules if is_robust(rule)} == {
        rule for rule in rules if least_updates(Averaging(rule=rule)) > 2
    }
