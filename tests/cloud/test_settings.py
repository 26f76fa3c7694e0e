"""cloud/settings.py: what settings mean."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.settings.parsing import parse
from cloud.settings import Federation, Selection, amount_of
from tests.cloud.examples import TRAINING, federation

MINIMAL: dict[str, Any] = {"name": "digits", "training": TRAINING}


def test_a_name_and_how_to_train_are_enough() -> None:
    settings = parse(MINIMAL)
    assert settings.name == "digits"
    assert settings.selection == Selection()
    assert settings.custom_functions == []


def test_settings_come_back_from_json_as_they_were() -> None:
    settings = parse(MINIMAL | {"target": "80%", "quorum": 3, "selection": {"policy": "random", "cohort": "10%"}})
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Federation) == settings
    assert parse(json.loads(msgspec.json.encode(settings))) == settings


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
        ({"selection": {"policy": "custom"}}, ["choose_clients"]),
        ({"completion": "custom"}, ["is_complete"]),
        ({"averaging": {"rule": "custom"}}, ["average"]),
        ({"pacing": {"policy": "custom"}}, ["next_round_delay"]),
        ({"completion": "custom", "pacing": {"policy": "custom"}}, ["is_complete", "next_round_delay"]),
    ],
)
def test_custom_functions_are_those_that_the_settings_ask_for(change: dict[str, Any], rules: list[str]) -> None:
    assert federation(**change).custom_functions == rules


def test_a_client_may_train_until_no_round_can_want_its_update() -> None:
    times = {"deadline_s": 100.0, "extension_s": 20.0}
    assert parse(MINIMAL | times).training_s == 120.0
    assert parse(MINIMAL | times | {"max_staleness": 2, "target": 1}).training_s == 360.0
    hourly = {"pacing": {"policy": "fixed_rate", "interval_s": 3600}}
    assert parse(MINIMAL | times | hourly).training_s == 120.0
    assert parse(MINIMAL | times | hourly | {"max_staleness": 2, "target": 1}).training_s == 120.0 + 2 * 3600


def test_a_buffered_federation_carries_over_what_an_aborted_round_had() -> None:
    assert not parse(MINIMAL).carries_over
    assert parse(MINIMAL | {"averaging": {"carry_over": True}}).carries_over
    assert parse(MINIMAL | {"max_staleness": 1, "target": 1}).carries_over
