"""Changing a federation's settings between its rounds."""

from typing import Any

import msgspec
import numpy as np
import pytest

from cloud.settings import Averaging, FedAdam, FedAvgM, Federation, FedYogi, LocalTraining
from cloud.state.federations import ChangedMeanwhileError
from cloud.state.settings_history import Difference, differences, lacking
from operations import settings_update
from operations.settings_update import CHANGEABLE, FixedSettingError
from protocol.tensors import load
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation

THINGS = ("d0", "d1")


def wanted(simulated: SimulatedFederation, **changes: Any) -> Federation:
    return msgspec.structs.replace(simulated.operations.federations.get(simulated.name).settings, **changes)


def change(simulated: SimulatedFederation, **changes: Any) -> settings_update.SettingsUpdate:
    prepared = settings_update.prepare(simulated.operations, wanted(simulated, **changes))
    settings_update.apply(simulated.operations, prepared)
    return prepared


def training(learning_rate: float) -> LocalTraining:
    return LocalTraining(epochs=1, batch_size=8, learning_rate=learning_rate)


def written(value: Any) -> Any:
    """A value as federation.yaml has it."""
    plain = msgspec.to_builtins(value)
    return {name: each for name, each in plain.items() if each is not None}


def run_round(simulated: SimulatedFederation, number: int) -> Any:
    for thing in THINGS:
        simulated.answer(thing, number)
    return simulated.ended(number)


def test_differences_are_told_by_their_paths_and_an_optimizer_of_another_kind_as_a_whole() -> None:
    before = Federation(name="f", training=training(0.1), averaging=Averaging(optimizer=FedAvgM(beta=0.9)))
    averaging = Averaging(optimizer=FedAvgM(beta=0.5), ema=0.9)
    after = Federation(name="f", training=training(0.2), rounds=before.rounds + 1, averaging=averaging)
    assert set(differences(before, after)) == {
        Difference("training.learning_rate", 0.1, 0.2),
        Difference("rounds", before.rounds, before.rounds + 1),
        Difference("averaging.optimizer.beta", 0.9, 0.5),
        Difference("averaging.ema", 0.0, 0.9),
    }
    (whole,) = differences(before, msgspec.structs.replace(before, averaging=Averaging(optimizer=FedAdam())))
    assert (whole.setting, whole.after["name"]) == ("averaging.optimizer", "fedadam")
    assert differences(before, before) == ()


def test_an_optimizers_state_is_of_use_to_its_own_kind_alone() -> None:
    momentum, adam = Averaging(optimizer=FedAvgM()), Averaging(optimizer=FedAdam(), ema=0.5)
    assert lacking(momentum, Averaging(optimizer=FedAvgM(beta=0.1), ema=0.1)) == ()
    assert lacking(Averaging(optimizer=FedYogi(), ema=0.9), adam) == ("optimizer",)
    assert lacking(adam, momentum) == ("optimizer", "ema")
    assert lacking(Averaging(variance_reduction=True), Averaging()) == ("optimizer",)
    assert lacking(Averaging(), Averaging(variance_reduction=True)) == ("optimizer",)
    assert lacking(adam, None) == ("optimizer", "ema")


def test_a_round_that_is_open_ends_as_it_began_and_the_next_has_the_new_settings(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=3, training=written(training(0.1)))
    simulated.start()
    assert simulated.assignment("d0", 1).training.learning_rate == 0.1
    prepared = change(simulated, training=training(0.02), deadline_s=99.0, target=1)
    assert (prepared.open_round, prepared.first_round) == (1, 2)
    ended = run_round(simulated, 1)
    assert (ended.accepted, ended.settings.training.learning_rate) == (2, 0.1)
    second = simulated.opened(2)
    assert (second.target, second.settings.deadline_s, second.revision) == (1, 99.0, 1)
    assert simulated.assignment("d0", 2).training.learning_rate == 0.02
    (noted,) = simulated.operations.federations.get(simulated.name).changes
    assert noted.first_round == 2
    assert {each.setting for each in noted.differences} == {"training.learning_rate", "deadline_s", "target"}


def test_rounds_may_be_added_while_the_last_one_is_open(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1)
    simulated.start()
    simulated.opened(1)
    change(simulated, rounds=2)
    run_round(simulated, 1)
    assert run_round(simulated, 2).status == "closed"
    eventually(
        lambda: simulated.operations.federations.get(simulated.name).status == "finished", "the federation to finish"
    )


def test_rounds_may_be_added_after_the_last_one_has_ended(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1)
    simulated.start()
    run_round(simulated, 1)
    assert simulated.operations.federations.get(simulated.name).status == "finished"
    change(simulated, rounds=2)
    assert simulated.operations.federations.get(simulated.name).status == "paused"
    simulated.operations.start(simulated.name)
    assert run_round(simulated, 2).status == "closed"


def test_with_fewer_rounds_the_federation_finishes_after_the_one_that_is_open(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=5)
    simulated.start()
    simulated.opened(1)
    change(simulated, rounds=1)
    run_round(simulated, 1)
    eventually(
        lambda: simulated.operations.federations.get(simulated.name).status == "finished", "the federation to finish"
    )
    with pytest.raises(LookupError):
        simulated.round(2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Averaging(), Averaging(optimizer=FedAvgM(), ema=0.5)),
        (Averaging(optimizer=FedAvgM(beta=0.5)), Averaging(optimizer=FedAdam())),
        (Averaging(optimizer=FedAvgM()), Averaging(optimizer=FedAvgM(), variance_reduction=True)),
    ],
    ids=["one with a state, and a moving average", "one with another state", "one with variance reduction"],
)
def test_another_server_optimizer_begins_anew_and_averages_on(
    simulated: SimulatedFederation, first: Averaging, second: Averaging
) -> None:
    simulated.create(THINGS, rounds=4, averaging=written(first))
    simulated.start()
    simulated.opened(1)
    change(simulated, averaging=second)
    run_round(simulated, 1)
    assert "optimizer" in simulated.opened(2).lacking
    assert run_round(simulated, 2).status == "closed"
    assert simulated.opened(3).lacking == ()
    assert run_round(simulated, 3).status == "closed"
    model = simulated.operations.models.get(simulated.current()[0])
    assert all(np.isfinite(values.astype(float)).all() for values in load(model)[1].values())


def test_what_a_federation_keeps_for_life_is_refused_by_name(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3)
    changes = {
        "encoding": "int8",
        "download": "bfloat16",
        "thing_group": "others",
        "initial_model": "m.safetensors",
        "max_staleness": 2,
        "training": msgspec.structs.replace(training(0.1), seed=7),
    }
    with pytest.raises(FixedSettingError) as refused:
        settings_update.prepare(simulated.operations, wanted(simulated, **changes))
    for name in ("encoding", "download", "thing_group", "initial_model", "max_staleness", "training.seed"):
        assert f"{name}: " in str(refused.value)
    assert simulated.operations.federations.get(simulated.name).revision == 0


def test_every_setting_is_either_changeable_or_refused_or_the_authors(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS)
    others = {name for name in Federation.__struct_fields__ if name not in CHANGEABLE}
    assert others == {"name", "thing_group", "task", "initial_model", "max_staleness", "encoding", "download"}


def test_there_can_not_be_fewer_rounds_than_there_have_been(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3)
    simulated.start()
    run_round(simulated, 1)
    simulated.opened(2)
    with pytest.raises(FixedSettingError, match="rounds: 1 is less than the 2 that there have been: give 2 at least"):
        settings_update.prepare(simulated.operations, wanted(simulated, rounds=1))


def test_of_two_operators_who_change_it_at_once_one_is_told(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3)
    mine = settings_update.prepare(simulated.operations, wanted(simulated, rounds=4))
    change(simulated, rounds=5)
    with pytest.raises(ChangedMeanwhileError, match="try again"):
        settings_update.apply(simulated.operations, mine)
    assert simulated.operations.federations.get(simulated.name).settings.rounds == 5


def test_no_round_opens_with_settings_that_have_been_changed_meanwhile(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=3)
    stale = simulated.claim(*THINGS)  # what an initiator had read
    assert stale.revision == 0
    change(simulated, deadline_s=77.0)
    record = simulated.operations.federations.get(simulated.name)
    late = msgspec.structs.replace(stale, round=2, base=record.model)
    with pytest.raises(Exception, match="round 2"):
        simulated.operations.rounds.claim(late)
