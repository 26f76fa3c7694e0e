"""cli/settings/: how a user is told what is wrong with federation.yaml."""

import math
from typing import Any, get_args

import pytest

from cli.settings.contradictions import fleet_contradictions
from cli.settings.parsing import parse, validate
from cloud.settings import FedAdam, InvalidSettingsError, SelectionPolicyName
from tests.cloud.examples import TRAINING

MINIMAL: dict[str, Any] = {"name": "digits", "training": TRAINING}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Digits!"}, "Digits!"),
        ({"name": ""}, "name"),
        ({"name": 1}, "name"),
        ({"rounds": 0}, "rounds"),
        ({"rounds": "ten"}, "rounds"),
        ({"round": 3}, "round"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": -1.0}, "deadline_s"),
        ({"deadline_s": math.inf}, "deadline_s"),
        ({"deadline_s": math.nan}, "deadline_s"),
        ({"deadline_s": 1e300}, "deadline_s"),
        ({"extension_s": -1.0}, "extension_s"),
        ({"extension_s": math.inf}, "extension_s"),
        ({"extension_s": 1e300}, "extension_s"),
        ({"target": 0}, "target"),
        ({"target": True}, "target"),
        ({"target": 1.5}, "target"),
        ({"target": "many"}, 'target: "many"'),
        ({"target": "80"}, 'target: "80"'),
        ({"target": "0%"}, 'target: "0%"'),
        ({"target": "101%"}, 'target: "101%"'),
        ({"target": "-5%"}, 'target: "-5%"'),
        ({"target": "nan%"}, 'target: "nan%"'),
        ({"target": "%"}, 'target: "%"'),
        ({"quorum": "200%"}, 'quorum: "200%"'),
        ({"quorum": -1}, "quorum"),
        ({"completion": "never"}, "completion"),
        ({"encoding": "pickle"}, "encoding"),
        ({"selection": {"policy": "best"}}, r"selection\.policy"),
        ({"selection": {"cohort": "110%"}}, r'selection\.cohort: "110%"'),
        ({"selection": {"minimum": 0}}, r"selection\.minimum"),
        ({"selection": {"smoothing": 1.0}}, r"selection\.smoothing"),
        ({"selection": {"smoothing": -0.1}}, r"selection\.smoothing"),
        ({"selection": {"dropout": 1.0}}, r"selection\.dropout"),
        ({"selection": {"dropout": -0.1}}, r"selection\.dropout"),
        ({"selection": {"dropout": "20%"}}, r"selection\.dropout"),
        ({"selection": {"size": 3}}, "size"),
        ({"selection": {"cohort": 1501}}, r"selection\.cohort: 1501 clients.* 1500 that a round can have"),
        ({"selection": {"cohort": 1201, "dropout": 0.2}}, r"selection\.cohort: 1201 clients, with a dropout of 0\.2"),
        ({"averaging": {"rule": "median-ish"}}, r"averaging\.rule"),
        ({"averaging": {"weights": 1}}, "weights"),
        ({"averaging": {"carry_over": 1}}, r"averaging\.carry_over"),
        ({"max_staleness": -1}, "max_staleness"),
        ({"max_staleness": 101}, "max_staleness"),
        ({"max_staleness": "20%"}, "max_staleness"),
        ({"pacing": {"policy": "hourly"}}, r"pacing\.policy"),
        ({"pacing": {"policy": "fixed_rate"}}, r"pacing\.interval_s"),
        (
            {"pacing": {"policy": "when_ready", "ready": "0%"}},
            r"pacing\.ready: .* use a number of clients",
        ),
        ({"pacing": {"policy": "when_ready", "ready": 0}}, r"pacing\.ready: .* use a number of clients"),
        ({"pacing": {"policy": "when_ready", "ready": 5, "wait_s": 0}}, r"pacing\.wait_s: .* above 0"),
        ({"pacing": {"policy": "fixed_rate", "interval_s": -1}}, r"pacing\.interval_s"),
        ({"pacing": {"policy": "fixed_rate", "interval_s": math.inf}}, r"pacing\.interval_s"),
        ({"training": None}, "training"),
        ({"training": TRAINING | {"momentun": 0.9}}, r"training\.momentun: .* did you mean momentum\?"),
        ({"training": TRAINING | {"batch_size": 0}}, r"training\.batch_size"),
        ({"training": TRAINING | {"learning_rate": 0}}, r"training\.learning_rate"),
        ({"training": TRAINING | {"learning_rate": math.inf}}, r"training\.learning_rate"),
        ({"training": TRAINING | {"momentum": 1.0}}, r"training\.momentum"),
        ({"training": TRAINING | {"proximal": -1.0}}, r"training\.proximal"),
        ({"training": TRAINING | {"weight_decay": -1.0}}, r"training\.weight_decay"),
        ({"training": TRAINING | {"weight_decay": math.inf}}, r"training\.weight_decay"),
        ({"training": TRAINING | {"clip_norm": 0}}, r"training\.clip_norm"),
        (
            {"training": TRAINING | {"schedule": "cosine"}},
            r"training\.schedule: .* write \{name: cosine\}, with one",
        ),
        ({"training": TRAINING | {"schedule": {}}}, r"training\.schedule\.name: is missing: use one of constant, "),
        ({"training": TRAINING | {"schedule": {"name": "cosin"}}}, r"schedule\.name: .* did you mean cosine\?"),
        ({"training": TRAINING | {"schedule": {"name": "step"}}}, r"training\.schedule\.every_rounds: is missing"),
        (
            {"training": TRAINING | {"schedule": {"name": "step", "every_rounds": 2.5}}},
            r"schedule\.every_rounds: 2\.5: use a whole number from 1",
        ),
        ({"training": TRAINING | {"schedule": {"name": "exponential", "factor": 1.5}}}, r"schedule\.factor: 1\.5"),
        ({"training": TRAINING | {"schedule": {"name": "exponential", "factor": 0}}}, r"schedule\.factor: 0"),
        ({"training": TRAINING | {"schedule": {"name": "cosine", "factor": 0.5}}}, r"schedule\.factor: there is no"),
        ({"training": TRAINING | {"schedule": {"name": "constant", "warmup_rounds": -1}}}, r"schedule\.warmup_rounds"),
        ({"training": TRAINING | {"learning_rate": 1e7}}, r"training\.learning_rate"),
        (
            {"training": TRAINING | {"seed": -1}},
            r"training\.seed: -1: use a whole number from 0",
        ),
        ({"training": TRAINING | {"seed": 2**63}}, r"training\.seed: 9223372036854775808"),
        ({"training": TRAINING | {"seed": 10**30}}, r"training\.seed: 1000"),
        (
            {"averaging": {"optimizer": {"name": "fedavg", "learning_rate": 1e9}}},
            r"averaging\.optimizer\.learning_rate",
        ),
        ({"rounds": 100_000_000}, "rounds: 100000000: use a whole number from 1 to 99999999"),
        ({"deadline_s": 0.5}, "deadline_s: 0.5: use a number from 1 to 31622400"),
        ({"thing_group": ""}, 'thing_group: ""'),
        ({"thing_group": "north fleet"}, 'thing_group: "north fleet"'),
        ({"target": "1_0%"}, 'target: "1_0%"'),
        ({"target": "٨٠%"}, "target: "),
        ({"quorum": "1e1%"}, "quorum: "),
        ({"training": TRAINING | {"epochs": 0}}, r"training\.epochs"),
        ({"training": TRAINING | {"steps": 5}}, r"training\.steps: epochs 1 and steps 5: give either"),
        ({"training": {"batch_size": 8, "learning_rate": 0.1}}, "training: is without epochs and steps"),
        ({"training": {"epochs": 1, "learning_rate": 0.1}}, "batch_size"),
    ],
    ids=repr,
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"federation settings: .*{named}"):
        parse(MINIMAL | change)


@pytest.mark.parametrize("field", ["name", "training"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"{field}: is missing"):
        parse({key: value for key, value in MINIMAL.items() if key != field})


@pytest.mark.parametrize("raw", [None, [], "name: digits", 1])
def test_what_is_no_mapping_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidSettingsError, match="fields with values"):
        parse(raw)


def problems(**changes: Any) -> list[str]:
    return [str(problem) for problem in validate(MINIMAL | changes)[1]]


def test_all_wrong_fields_are_told_at_once_with_value_and_what_is_allowed() -> None:
    assert problems(rounds="ten", selection={"policy": "best", "dropout": 1.5}, name=7, encoding=None) == [
        "name: 7: use a text; put it in quotes",
        'rounds: "ten": use a whole number from 1 to 99999999',
        'selection.policy: "best": use one of ' + ", ".join(sorted(get_args(SelectionPolicyName))),
        "selection.dropout: 1.5: use a number from 0, below 1",
        "encoding: it is empty: use one of bfloat16, float32, int8",
    ]


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ({"quorom": 3}, "quorum"),
        ({"Quorum": 3}, "quorum"),
        ({"deadline-s": 3}, "deadline_s"),
        ({"learning_rate": 0.1}, "training.learning_rate"),
        ({"seed": 1}, "training.seed or selection.seed"),
        ({"trim": 0.1}, "averaging.trim"),
        ({"selection": {"polcy": "all"}}, "policy"),
        ({"selection": {"policy": "Random"}}, "random"),
        ({"averaging": {"rule": "trimmed-mean"}}, "trimmed_mean"),
        ({"averaging": {"optimizer": {"name": "adam"}}}, "fedadam"),
        ({"averaging": {"optimizer": {"name": "fedadam", "beta_2": 0.9}}}, "beta2"),
        ({"training": {"epochs": 1, "batch_size": 8, "lr": 0.1}}, "learning_rate"),
        ({"training": {"local_epochs": 1, "batch_size": 8, "learning_rate": 0.1}}, "epochs"),
        ({"training": {"epochs": 1, "batchSize": 8, "learning_rate": 0.1}}, "batch_size"),
        ({"clients": 10}, "selection.cohort"),
        ({"averaging": {"rule": "avg"}}, "mean"),
        ({"encoding": "fp16"}, "bfloat16"),
        ({"deadline_s": "10m"}, "600"),
        ({"deadline_s": "0,5"}, "0.5"),
        ({"target": "80 percent"}, "80%"),
        ({"name": "My Fleet"}, "my-fleet"),
        ({"target": 0.8}, "80%"),
        ({"selection": {"dropout": "20%"}}, "0.2"),
    ],
    ids=repr,
)
def test_what_was_meant_is_guessed(change: dict[str, Any], meant: str) -> None:
    (told,) = problems(**change)
    assert told.endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    "change",
    [{"version": 1}, {"training": TRAINING | {"epochs": 0.5}}, {"rounds": 0.5}, {"selection": {"minimum": 0.5}}],
    ids=repr,
)
def test_nothing_is_guessed_that_would_be_no_better(change: dict[str, Any]) -> None:
    (told,) = problems(**change)
    assert "did you mean" not in told


def test_a_number_in_quotes_is_told_to_stand_without_them() -> None:
    assert problems(training=TRAINING | {"learning_rate": "1e-3"}) == [
        'training.learning_rate: "1e-3": use a number above 0, up to 1000000; a number stands without quotes'
    ]


def test_a_whole_number_may_be_written_as_a_float_is() -> None:
    assert parse(MINIMAL | {"rounds": 1e3, "target": 2.0}).rounds == 1000
    assert problems(rounds=10.5) == ["rounds: 10.5: use a whole number from 1 to 99999999"]


def test_a_choice_in_place_of_the_fields_around_it_is_written_out() -> None:
    assert problems(selection="random") == ['selection: "random": use fields with values: {policy: random}']
    (told,) = problems(averaging={"rule": "fedavg"})
    assert told.endswith("did you mean weighted?; as averaging.optimizer it is {name: fedavg}")


def test_an_optimizer_is_told_apart_by_its_name() -> None:
    settings = parse(MINIMAL | {"averaging": {"optimizer": {"name": "fedadam", "beta2": 0.5}}})
    assert settings.averaging.optimizer == FedAdam(beta2=0.5)
    (told,) = problems(averaging={"optimizer": "fedadam"})
    assert told.startswith('averaging.optimizer: "fedadam": write {name: fedadam}, with one of fedavg, ')


def test_a_value_of_any_length_is_told_shortened() -> None:
    (told,) = problems(rounds=["x" * 10_000])
    assert len(told) < 200


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"quorum": "60%", "target": "50%"}, "quorum: 60% is more than target, 50%"),
        ({"quorum": "50%", "target": "40%"}, "quorum: 50% is more than target, 40%"),
        ({"quorum": 4, "target": 3}, "quorum: 4 is more than target, 3"),
        (
            {"quorum": "60%", "target": 5, "selection": {"policy": "random", "cohort": 10}},
            "quorum: 60% is more than target, 5",
        ),
        (
            {"quorum": 6, "target": "50%", "selection": {"policy": "random", "cohort": 10}},
            "quorum: 6 is more than target, 50%",
        ),
        ({"quorum": "100%", "target": 5}, "quorum: 100% is more than target, 5"),
        (
            {"target": 11, "selection": {"policy": "random", "cohort": 10}},
            "target: 11 is more than selection.cohort, 10",
        ),
        (
            {"averaging": {"rule": "krum"}, "selection": {"policy": "random", "cohort": 4}},
            "averaging.byzantine: 1 with selection.cohort 4: krum needs 5 clients",
        ),
        (
            {"averaging": {"rule": "multi_krum", "byzantine": 3}, "target": 8},
            "averaging.byzantine: 3 with target 8: multi_krum needs 9 clients",
        ),
        ({"averaging": {"rule": "krum", "byzantine": 50}, "target": 4}, "averaging.byzantine: 50 with target 4"),
        ({"averaging": {"rule": "median"}, "target": 2}, "averaging.rule: median with target 2"),
        (
            {"averaging": {"rule": "trimmed_mean"}, "selection": {"policy": "random", "cohort": 2}},
            "averaging.rule: trimmed_mean with selection.cohort 2",
        ),
        ({"averaging": {"rule": "median"}, "quorum": 2}, "quorum: 2 is fewer than the 3 updates that averaging.rule"),
        (
            {"averaging": {"rule": "krum"}, "selection": {"policy": "random", "cohort": 8}, "quorum": "50%"},
            "quorum: 50% is fewer than the 5 updates that averaging.rule krum needs",
        ),
        ({"max_staleness": 3}, "max_staleness: 3 with target 100%"),
        (
            {"max_staleness": 3, "target": 20, "selection": {"policy": "random", "cohort": 20}},
            "max_staleness: 3 with target 20",
        ),
        (
            {"training": TRAINING | {"schedule": {"name": "cosine", "final_learning_rate": 0.2}}},
            "training.schedule.final_learning_rate: 0.2 is more than training.learning_rate, 0.1",
        ),
        (
            {"training": TRAINING | {"schedule": {"name": "exponential", "factor": 0.1}}, "rounds": 1000},
            "training.schedule: exponential makes the learning rate 0 before the last of 1,000 rounds",
        ),
        ({"extension_s": 90, "deadline_s": 60}, "extension_s: 90 is more than deadline_s, 60"),
        ({"pacing": {"policy": "fixed_rate"}}, "pacing.interval_s: is 0"),
        ({"pacing": {"policy": "cron", "times": "0 2 * *"}}, "pacing.times: '0 2 * *' has 4 fields"),
        ({"pacing": {"policy": "cron"}}, "pacing.times: '' has 0 fields"),
        ({"pacing": {"policy": "when_ready"}}, "pacing.ready: is missing: when_ready needs how many clients"),
        ({"pacing": {"ready": 5}}, "pacing.ready: 5 with pacing.policy at_once, which does not heed it"),
        (
            {"pacing": {"times": "0 2 * * *"}},
            'pacing.times: "0 2 * * *" with pacing.policy at_once, which does not heed it',
        ),
        (
            {"stop": {"metric": "wonder"}},
            'stop.metric: "wonder" does not tell by its name whether more of it is better',
        ),
        ({"stop": {"patience": 3}}, "stop.patience: 3 without stop.metric"),
        ({"stop": {"at": 0.9}}, "stop.at: 0.9 without stop.metric"),
        ({"evaluation": {"cohort": "20%"}}, "evaluation.cohort: 20% without evaluation.every_rounds"),
        ({"evaluation": {"every_rounds": 9, "cohort": 2000}}, "evaluation.cohort: 2000 is more than the 1500 clients"),
        (
            {"evaluation": {"every_rounds": 9}, "max_staleness": 2, "target": 3, "selection": {"cohort": 9}},
            "evaluation.every_rounds: 9 with max_staleness 2: where clients train on",
        ),
        ({"pacing": {"interval_s": 60}}, "pacing.interval_s: 60 with pacing.policy at_once, which does not heed it"),
        ({"averaging": {"rule": "median", "trim": 0.2}}, "averaging.trim: 0.2 with averaging.rule median"),
        ({"averaging": {"byzantine": 0}}, "averaging.byzantine: 0 with averaging.rule weighted"),
        (
            {"averaging": {"rule": "median", "variance_reduction": True}},
            "averaging.variance_reduction: true with averaging.rule median, which does not heed it",
        ),
        ({"selection": {"policy": "all", "cohort": 10}}, "selection.cohort: 10 with selection.policy all"),
        (
            {"selection": {"policy": "probabilistic", "cohort": "50%"}},
            'selection.cohort: "50%" with selection.policy prob',
        ),
        ({"selection": {"policy": "all", "dropout": 0.2}}, "selection.dropout: 0.2 with selection.policy all"),
    ],
    ids=repr,
)
def test_settings_that_make_no_sense_together_are_told_with_both_values(changes: dict[str, Any], told: str) -> None:
    (problem,) = problems(**changes)
    assert problem.startswith(told)


@pytest.mark.parametrize(
    "changes",
    [
        {"quorum": "50%", "target": "50%"},
        {"target": "40%"},
        {"target": 5, "selection": {"policy": "random", "cohort": 20}, "max_staleness": 10},
        {"target": 5, "quorum": "50%"},
        {"quorum": 4, "target": 3, "completion": "custom"},
        {"averaging": {"rule": "krum"}},
        {"averaging": {"rule": "krum", "byzantine": 0}, "target": 3},
        {"averaging": {"rule": "median"}, "selection": {"policy": "random", "cohort": 4}},
        {"averaging": {"rule": "median"}, "selection": {"policy": "random", "cohort": 4}, "quorum": "75%"},
        {"averaging": {"rule": "trimmed_mean", "trim": 0}, "target": 1},
        {"averaging": {"rule": "weighted"}, "target": 1, "quorum": 1},
        {"deadline_s": 10},
        {"max_staleness": 1, "target": "99%"},
        {"max_staleness": 1, "completion": "custom"},
        {"averaging": {"rule": "trimmed_mean", "trim": 0.2}},
        {"averaging": {"rule": "median", "trim": 0.1, "byzantine": 1}},
        {"pacing": {"policy": "at_once", "interval_s": 0}},
        {"selection": {"policy": "all", "cohort": "100%", "dropout": 0}},
        {"selection": {"policy": "fastest", "cohort": "50%", "dropout": 0.2}},
        {"training": TRAINING | {"seed": 2**63 - 1}},
        {"thing_group": "Fleet:north_1-2"},
        {"evaluation": {"every_rounds": 20, "cohort": 100}, "rounds": 5},
        {"evaluation": {"cohort": "100%"}, "max_staleness": 1, "target": 3, "selection": {"cohort": 9}},
    ],
    ids=repr,
)
def test_settings_that_make_sense_together_are_taken(changes: dict[str, Any]) -> None:
    assert problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"selection": {"minimum": 10}}, ["selection.minimum: 10 is more than the 4 clients"]),
        ({"averaging": {"rule": "krum"}}, ["averaging.byzantine: 1 with selection.cohort 4"]),
        (
            {"averaging": {"rule": "krum", "byzantine": 0}, "target": "50%"},
            ["averaging.byzantine: 0 with target 2: krum needs 3 clients"],
        ),
        ({"averaging": {"rule": "trimmed_mean"}, "target": "50%"}, ["averaging.rule: trimmed_mean with target 2"]),
        (
            {"averaging": {"rule": "median"}, "quorum": "25%"},
            ["quorum: 25% is fewer than the 3 updates that averaging"],
        ),
        ({"averaging": {"rule": "median"}}, []),
        ({"selection": {"minimum": 4}}, []),
        ({"averaging": {"rule": "krum", "byzantine": 0}}, []),
    ],
    ids=repr,
)
def test_a_fleet_that_is_too_small_is_told(changes: dict[str, Any], told: list[str]) -> None:
    found = [str(problem) for problem in fleet_contradictions(parse(MINIMAL | changes), 4)]
    assert len(found) == len(told)
    assert all(problem.startswith(start) for problem, start in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"selection": {"policy": "own"}}, "selection.policy"),
        ({"completion": "own"}, "completion"),
        ({"averaging": {"rule": "own"}}, "averaging.rule"),
        ({"pacing": {"policy": "own"}}, "pacing.policy"),
    ],
)
def test_the_former_name_of_a_choice_is_refused_with_the_one_that_it_has_now(
    change: dict[str, Any], place: str
) -> None:
    _, (problem,) = validate(MINIMAL | change)
    assert str(problem).startswith(f'{place}: "own": use one of ')
    assert str(problem).endswith("; own is now custom")


def test_where_a_former_name_never_was_a_choice_nothing_is_said_of_it() -> None:
    _, (problem,) = validate(MINIMAL | {"encoding": "own"})
    assert "is now" not in str(problem)
