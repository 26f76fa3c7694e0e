"""sandbox/federated_run.py: whatever an operator does to a federation, a run keeps up with it."""

from pathlib import Path

import msgspec
import pytest

from operations import settings_update
from reporting.run_folder import RunFolder
from reporting.run_writer import RunWriter
from sandbox.federated_run import Following, Recording
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation


@pytest.fixture
def following(simulated: SimulatedFederation, tmp_path: Path) -> Following:
    """A run of a federation of two rounds with one device, which has been started."""
    simulated.create(["d"], rounds=2, deadline_s=600)
    return Following(simulated.operations, simulated.name, None, tmp_path / "scored")


def keeps_up(following: Following, what: str) -> None:
    """Returns when the run has seen it; what is heard over MQTT is no condition of that."""

    def look() -> bool:
        following.wait()
        view = following.view
        seen = {
            "paused": view.held_by is not None,
            "going on": view.held_by is None,
            "one round": len(view.ended) == 1,
            "three rounds to come": view.rounds == 3,
            "over": following.is_over,
        }
        return seen[what]

    eventually(look, f"the run to be {what}")


def change_rounds(simulated: SimulatedFederation, rounds: int) -> None:
    settings = msgspec.structs.replace(simulated.operations.federations.get(simulated.name).settings, rounds=rounds)
    settings_update.apply(simulated.operations, settings_update.prepare(simulated.operations, settings))


def test_a_paused_federation_is_waited_for_and_told_how_it_goes_on(
    following: Following, simulated: SimulatedFederation
) -> None:
    simulated.assignment("d", 1)
    simulated.operations.pause(simulated.name)
    simulated.answer("d", 1)
    keeps_up(following, "paused")
    assert following.view.held_by == f"paused: it goes on with fedgrass resume {simulated.name}"
    assert not following.is_over
    simulated.operations.start(simulated.name)
    keeps_up(following, "going on")
    simulated.answer("d", 2)
    keeps_up(following, "over")
    assert [figures.status for figures in following.view.ended] == ["closed", "closed"]


def test_rounds_that_are_added_are_waited_for_and_those_that_are_taken_away_are_not(
    following: Following, simulated: SimulatedFederation
) -> None:
    simulated.assignment("d", 1)
    change_rounds(simulated, 3)
    keeps_up(following, "three rounds to come")
    simulated.answer("d", 1)
    keeps_up(following, "one round")
    simulated.assignment("d", 2)
    change_rounds(simulated, 2)
    simulated.answer("d", 2)
    keeps_up(following, "over")
    assert len(following.view.ended) == 2


def test_a_run_ends_when_a_stop_rule_ends_the_rounds(simulated: SimulatedFederation, tmp_path: Path) -> None:
    stop = {"metric": "accuracy", "at": 0.9}
    simulated.create(["d"], rounds=5, deadline_s=600, stop=stop)
    record = simulated.operations.federations.get(simulated.name)
    with RunWriter.create(tmp_path / "run", source="run", settings=record.settings, life=record.life) as folder:
        following = Following(simulated.operations, simulated.name, None, tmp_path / "scored", Recording(folder))
        simulated.answer("d", 1, before={"accuracy": 0.5})
        simulated.answer("d", 2, before={"accuracy": 0.95})
        keeps_up(following, "over")
        folder.finish("finished")
    assert len(following.view.ended) == 2
    summary = RunFolder(tmp_path / "run").summary
    assert summary.best is not None
    assert (summary.best.metric, summary.best.value, summary.best.round) == ("accuracy", 0.95, 2)
    assert summary.stopped == "accuracy is 0.95: stop.at is 0.9"


def test_an_aborted_round_counts_and_is_in_the_run_folder(simulated: SimulatedFederation, tmp_path: Path) -> None:
    simulated.create(["d"], rounds=2, deadline_s=600)
    record = simulated.operations.federations.get(simulated.name)
    with RunWriter.create(tmp_path / "run", source="run", settings=record.settings, life=record.life) as folder:
        following = Following(simulated.operations, simulated.name, None, tmp_path / "scored", Recording(folder))
        simulated.assignment("d", 1)
        simulated.operations.abort_round(simulated.name, "a trial")
        change_rounds(simulated, 3)
        keeps_up(following, "three rounds to come")
        simulated.answer("d", 2)
        simulated.answer("d", 3)
        keeps_up(following, "over")
        folder.finish("finished")
    assert following.view.ended[0].reason == "a trial"
    run = RunFolder(tmp_path / "run")
    assert [line.status for line in run.rounds()] == ["aborted", "closed", "closed"]
    assert run.settings().rounds == 3


def test_a_federation_without_clients_that_an_operator_has_expelled_is_waited_for(
    following: Following, simulated: SimulatedFederation
) -> None:
    simulated.assignment("d", 1)
    simulated.expel("d")
    simulated.operations.abort_round(simulated.name, "nobody is left")
    keeps_up(following, "paused")
    assert following.view.held_by == "too few clients are left: it goes on with fedgrass readmit, of d"
