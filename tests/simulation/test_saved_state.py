"""simulation/saved_state.py: a simulation that goes on where another one stopped."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from simulation.saved_state import NoSavedStateError, OtherSimulationError, SavedState
from tests.simulation.federations import Federation, digests

SHAPES: dict[str, dict[str, Any]] = {
    "lossy": {"encoding": "int8", "averaging": {"optimizer": {"name": "fedadam"}, "ema": 0.5}, "download": "bfloat16"},
    "asynchronous": {
        "clients": 4,
        "devices": {"c0": {"examples_per_s": 20 / 2.5}, "*": {"examples_per_s": 29.0}},
        "target": 3,
        "max_staleness": 3,
        "encoding": "bfloat16",
    },
    "carrying": {
        "devices": {"c0": {"availability": 0.3}, "c1": {"availability": 0.4}, "c2": {"availability": 0.5}},
        "quorum": 4,
        "averaging": {"carry_over": True},
    },
    "with last updates": {
        "selection": {"policy": "random", "cohort": 2},
        "encoding": "bfloat16",
        "averaging": {"variance_reduction": True},
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_stopped_after_any_round_it_goes_on_with_the_same_bits(tmp_path: Path, shape: str) -> None:
    expected = digests(Federation(tmp_path / "whole", rounds=5, **SHAPES[shape]).rounds())
    for stopped in range(5):
        federation = Federation(tmp_path / f"stopped-{stopped}", rounds=5, **SHAPES[shape])
        simulation = federation.simulation()
        first = list(itertools.islice(simulation.run(), stopped))
        state = SavedState(federation.directory / "state", {"name": "f"})
        state.save(simulation)
        list(simulation.run())  # what is done after it was saved leaves no trace,
        simulation.residuals.save()  # even if it was killed while it was saved again
        rest = federation.resumed(SavedState(federation.directory / "state", {"name": "f"}))
        assert digests([*first, *rest.run()]) == expected, f"stopped after round {stopped}"


def test_the_shapes_are_what_they_are_called(tmp_path: Path) -> None:
    carrying = Federation(tmp_path / "a", rounds=5, **SHAPES["carrying"]).rounds()
    assert {ended.record.status for ended in carrying} == {"closed", "aborted"}
    assert any(ended.record.carried for ended in carrying)
    waiting = Federation(tmp_path / "b", rounds=5, **SHAPES["asynchronous"]).rounds()
    assert any(member.assigned_in for ended in waiting for member in ended.record.cohort)


def test_no_more_is_kept_than_is_needed(tmp_path: Path) -> None:
    federation = Federation(tmp_path / "f")
    simulation, state = federation.simulation(), SavedState(tmp_path / "state", {})
    for _ in simulation.run():
        state.save(simulation)
    kept = {path.relative_to(tmp_path / "state").as_posix() for path in (tmp_path / "state").rglob("*.*")}
    assert kept == {"standing.json", "models/00000003.model"}


def test_a_simulation_that_is_another_one_is_refused_by_name(tmp_path: Path) -> None:
    federation = Federation(tmp_path / "f")
    with pytest.raises(NoSavedStateError, match="there is no simulation to go on with"):
        SavedState(tmp_path / "state", {}).load()
    SavedState(tmp_path / "state", {"training.learning_rate": "0.1"}).save(federation.simulation())
    with pytest.raises(
        OtherSimulationError, match=r"training\.learning_rate is 0\.2, and the simulation in .* has 0\.1"
    ):
        SavedState(tmp_path / "state", {"training.learning_rate": "0.2"}).load()
    (tmp_path / "state" / "standing.json").write_bytes(b"{")
    with pytest.raises(NoSavedStateError, match="is no simulation that this version can go on with"):
        SavedState(tmp_path / "state", {}).load()
