"""cli/settings/presets.py: what a preset says where federation.yaml says nothing."""

from typing import Any

import msgspec
import pytest

from cli.settings.parsing import parse, validate
from cli.settings.presets import PRESETS, given
from cloud.settings import FedAvg, FedAvgM, PresetName

SKEWED: dict[str, Any] = {"name": "digits", "preset": "label-skew"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_name_and_a_preset_are_enough(preset: PresetName) -> None:
    settings = parse({"name": "digits", "preset": preset})
    assert settings.preset == preset
    assert given(settings) == {
        f"{part}.{name}": value if name != "optimizer" else value | {"learning_rate": 1.0}
        for part, fields in PRESETS[preset].items()
        for name, value in fields.items()
    }


def test_what_the_file_says_itself_counts() -> None:
    settings = parse(
        SKEWED
        | {
            "training": {"learning_rate": 0.01},
            "averaging": {"optimizer": {"name": "fedavg"}, "ema": 0, "rule": "median"},
            "selection": {"cohort": "100%"},
        }
    )
    assert (settings.training.learning_rate, settings.averaging.ema) == (0.01, 0)
    assert (settings.averaging.optimizer, settings.averaging.rule) == (FedAvg(), "median")
    assert settings.selection.cohort == "100%"
    assert settings.training.batch_size == PRESETS["label-skew"]["training"]["batch_size"]


def test_an_optimizer_of_the_file_is_not_mixed_with_that_of_the_preset() -> None:
    settings = parse(SKEWED | {"averaging": {"optimizer": {"name": "fedavgm"}}})
    assert settings.averaging.optimizer == FedAvgM()
    _, problems = validate(SKEWED | {"averaging": {"optimizer": {"beta": 0.5}}})
    assert [problem.path for problem in problems] == [("averaging", "optimizer", "name")]


@pytest.mark.parametrize(("preset", "own"), [("label-skew", {"epochs": 2}), ("iid", {"steps": 3})])
def test_epochs_of_the_file_take_the_place_of_steps_and_the_other_way_round(preset: str, own: dict[str, int]) -> None:
    training = parse({"name": "digits", "preset": preset, "training": own}).training
    assert {name: value for name in ("epochs", "steps") if (value := getattr(training, name)) is not None} == own


@pytest.mark.parametrize("policy", ["all", "probabilistic"])
def test_a_policy_that_heeds_no_cohort_is_given_none(policy: str) -> None:
    assert parse(SKEWED | {"selection": {"policy": policy}}).selection.cohort == "100%"


def test_what_is_stored_is_complete_and_says_the_same_when_it_is_read_again() -> None:
    settings = parse(SKEWED | {"training": {"epochs": 2}, "averaging": {"ema": 0}})
    assert parse(msgspec.to_builtins(settings)) == settings


def test_without_a_preset_nothing_is_given() -> None:
    plain = {"name": "digits", "training": {"batch_size": 8, "learning_rate": 0.1, "epochs": 1}}
    assert given(parse(plain)) == {}
    assert parse(plain | {"preset": None}) == parse(plain)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"preset": "label_skew"}, 'preset: "label_skew": use one of iid, label-skew; did you mean label-skew?'),
        ({"preset": ["iid"]}, "use one of iid, label-skew"),
        ({"preset": {"name": "iid"}}, "use one of iid, label-skew"),
        ({"presets": "iid"}, "there is no such field in federation.yaml; did you mean preset?"),
        ({"preset": "iid", "training": 3}, "training: 3: use fields with values"),
        ({"preset": "iid", "selection": {"policy": ["all"]}}, "selection.policy: "),
        ({"preset": "iid", "training": {"batchsize": 3}}, "training.batchsize: there is no such field"),
    ],
)
def test_what_is_wrong_is_told_as_without_a_preset(change: dict[str, Any], told: str) -> None:
    settings, problems = validate({"name": "digits"} | change)
    assert settings is None
    assert told in "; ".join(map(str, problems))
