"""The tables of threats have each attack of the trial, as the trial says it, and a test for each."""

import re

from tests.docs.markdown import spans, tables
from trials.attacks.catalogue import ATTACKS

ROWS = [row for table in tables("docs/security.md", "threat", "control", "test") for row in table.rows]
TRIED = re.compile(r"trials/test_attacks\.py::test_no_attack_changes_a_bit\[(.+)\]")


def test_each_attack_of_the_trial_has_a_row_that_says_what_it_tries_and_what_stops_it() -> None:
    listed = {
        found[1]: (threat, control)
        for threat, control, test in ROWS
        for span in spans(test)
        if (found := TRIED.fullmatch(span))
    }
    tries = {each.name: each.tries.removesuffix(".") for each in ATTACKS}
    assert listed == {each.name: (tries[each.name][0].lower() + tries[each.name][1:], each.control) for each in ATTACKS}


def test_each_threat_has_a_test_and_none_comes_twice() -> None:
    assert len(ROWS) >= 60
    assert all(test and all("::" in span for span in spans(test)) for _, _, test in ROWS)
    threats = [threat for threat, _, _ in ROWS]
    assert sorted(set(threats)) == sorted(threats)
