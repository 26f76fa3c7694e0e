"""cloud/settings.py: what federation.yaml may say, and how it is told what is wrong with it."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.settings import Federation, InvalidSettingsError, Selection, amount_of, parse
from tests.cloud.examples import TRAINING, federation

MINIMAL: dict[str, Any] = {"name": "digits", "training": TRAINING}


def test_a_name_and_how_to_train_are_enough() -> None:
    settings = parse(MINIMAL)
    assert settings.name == "digits"
    assert settings.selection == Selection()
    assert settings.own_rules == []


def test_settings_come_back_from_json_as_they_were() -> None:
    settings = parse(MINIMAL | {"target": "80%", "quorum": 3, "selection": {"policy": "random", "cohort": "10%"}})
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Federation) == settings
    assert parse(json.loads(msgspec.json.encode(settings))) == settings


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Digits!"}, "Digits!"),
        ({"name": ""}, "name"),
        ({"name": 1}, r"\$\.name"),
        ({"rounds": 0}, r"\$\.rounds"),
        ({"rounds": "ten"}, r"\$\.rounds"),
        ({"round": 3}, "round"),
        ({"deadline_s": 0}, r"\$\.deadline_s"),
        ({"deadline_s": -1.0}, r"\$\.deadline_s"),
        ({"deadline_s": math.inf}, r"\$\.deadline_s"),
        ({"deadline_s": math.nan}, r"\$\.deadline_s"),
        ({"deadline_s": 1e300}, r"\$\.deadline_s"),
        ({"extension_s": -1.0}, r"\$\.extension_s"),
        ({"extension_s": math.inf}, r"\$\.extension_s"),
        ({"extension_s": 1e300}, r"\$\.extension_s"),
        ({"target": 0}, r"\$\.target"),
        ({"target": True}, r"\$\.target"),
        ({"target": 1.5}, r"\$\.target"),
        ({"target": "many"}, "target: 'many'"),
        ({"target": "80"}, "target: '80'"),
        ({"target": "0%"}, "target: '0%'"),
        ({"target": "101%"}, "target: '101%'"),
        ({"target": "-5%"}, "target: '-5%'"),
        ({"target": "nan%"}, "target: 'nan%'"),
        ({"target": "%"}, "target: '%'"),
        ({"quorum": "200%"}, "quorum: '200%'"),
        ({"quorum": -1}, r"\$\.quorum"),
        ({"completion": "never"}, r"\$\.completion"),
        ({"encoding": "pickle"}, r"\$\.encoding"),
        ({"selection": {"policy": "best"}}, r"\$\.selection\.policy"),
        ({"selection": {"cohort": "110%"}}, r"selection\.cohort: '110%'"),
        ({"selection": {"minimum": 0}}, r"\$\.selection\.minimum"),
        ({"selection": {"smoothing": 1.0}}, r"\$\.selection\.smoothing"),
        ({"selection": {"smoothing": -0.1}}, r"\$\.selection\.smoothing"),
        ({"selection": {"dropout": 1.0}}, r"\$\.selection\.dropout"),
        ({"selection": {"dropout": -0.1}}, r"\$\.selection\.dropout"),
        ({"selection": {"dropout": "20%"}}, r"\$\.selection\.dropout"),
        ({"selection": {"size": 3}}, "size"),
        ({"selection": {"cohort": 1501}}, r"selection\.cohort: 1501 clients.* 1500 that a round can have"),
        ({"selection": {"cohort": 1201, "dropout": 0.2}}, r"selection\.cohort: 1201 clients, with a dropout of 0\.2"),
        ({"averaging": {"rule": "median-ish"}}, r"\$\.averaging\.rule"),
        ({"averaging": {"weights": 1}}, "weights"),
        ({"averaging": {"carry_over": 1}}, r"\$\.averaging\.carry_over"),
        ({"max_staleness": -1}, r"\$\.max_staleness"),
        ({"max_staleness": 101}, r"\$\.max_staleness"),
        ({"max_staleness": "20%"}, r"\$\.max_staleness"),
        ({"pacing": {"policy": "hourly"}}, r"\$\.pacing\.policy"),
        ({"pacing": {"policy": "fixed_rate"}}, r"pacing\.interval_s"),
        ({"pacing": {"policy": "fixed_rate", "interval_s": -1}}, r"\$\.pacing\.interval_s"),
        ({"pacing": {"policy": "fixed_rate", "interval_s": math.inf}}, r"\$\.pacing\.interval_s"),
        ({"training": None}, r"\$\.training"),
        ({"training": TRAINING | {"momentun": 0.9}}, "training.*'momentun'"),
        ({"training": TRAINING | {"batch_size": 0}}, r"\$\.training\.batch_size"),
        ({"training": TRAINING | {"learning_rate": 0}}, r"\$\.training\.learning_rate"),
        ({"training": TRAINING | {"learning_rate": math.inf}}, r"\$\.training\.learning_rate"),
        ({"training": TRAINING | {"momentum": 1.0}}, r"\$\.training\.momentum"),
        ({"training": TRAINING | {"proximal": -1.0}}, r"\$\.training\.proximal"),
        ({"training": TRAINING | {"epochs": 0}}, r"\$\.training\.epochs"),
        ({"training": TRAINING | {"steps": 5}}, "training: give either epochs or steps"),
        ({"training": {"batch_size": 8, "learning_rate": 0.1}}, "training: give either epochs or steps"),
        ({"training": {"epochs": 1, "learning_rate": 0.1}}, "batch_size"),
    ],
    ids=repr,
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettingsError, match=rf"federation settings: .*{named}"):
        parse(MINIMAL | change)


@pytest.mark.parametrize("field", ["name", "training"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"`{field}`"):
        parse({key: value for key, value in MINIMAL.items() if key != field})


@pytest.mark.parametrize("raw", [None, [], "name: digits", 1])
def test_what_is_no_mapping_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidSettingsError, match="object"):
        parse(raw)


@pytest.mark.parametrize(
    ("amount", "whole", "expected"),
    [
        (3, 10, 3),
        (30, 10, 10),
        ("100%", 7, 7),
        ("50%", 8, 4),
        ("50%", 7, 4),
        ("1%", 7, 1),
        ("0.1%", 7, 1),
        ("70%", 10, 7),  # 0.7 * 10 is a little more than 7 in binary
        ("55%", 100, 55),
        ("33.3%", 3, 1),
        ("33.4%", 3, 2),
    ],
)
def test_shares_round_up_and_amounts_stay_within_the_whole(amount: int | str, whole: int, expected: int) -> None:
    assert amount_of(amount, whole) == expected


@given(st.integers(1, 100), st.integers(1, 5000))
def test_a_share_in_whole_percents_is_exact(percent: int, whole: int) -> None:
    assert amount_of(f"{percent}%", whole) == -(-percent * whole // 100)


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"selection": {"policy": "own"}}, ["choose_clients"]),
        ({"completion": "own"}, ["is_complete"]),
        ({"averaging": {"rule": "own"}}, ["average"]),
        ({"pacing": {"policy": "own"}}, ["next_round_delay"]),
        ({"completion": "own", "pacing": {"policy": "own"}}, ["is_complete", "next_round_delay"]),
    ],
)
def test_own_rules_are_the_functions_that_the_settings_ask_for(change: dict[str, Any], rules: list[str]) -> None:
    assert federation(**change).own_rules == rules


def test_a_client_may_train_until_no_round_can_want_its_update() -> None:
    times = {"deadline_s": 100.0, "extension_s": 20.0}
    assert parse(MINIMAL | times).training_s == 120.0
    assert parse(MINIMAL | times | {"max_staleness": 2}).training_s == 360.0
    hourly = {"pacing": {"policy": "fixed_rate", "interval_s": 3600}}
    assert parse(MINIMAL | times | hourly).training_s == 120.0
    assert parse(MINIMAL | times | hourly | {"max_staleness": 2}).training_s == 120.0 + 2 * 3600


def test_a_buffered_federation_carries_over_what_an_aborted_round_had() -> None:
    assert not parse(MINIMAL).carries_over
    assert parse(MINIMAL | {"averaging": {"carry_over": True}}).carries_over
    assert parse(MINIMAL | {"max_staleness": 1}).carries_over
