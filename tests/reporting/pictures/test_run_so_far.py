"""reporting/pictures/live/run_so_far.py: a run in memory is what its folder would be."""

from pathlib import Path

import msgspec
import pytest

from cloud.state.records import FederationRecord
from reporting.pictures.live import run_so_far
from reporting.pictures.live.run_so_far import RunSoFar
from reporting.pictures.recorded_run import read
from tests.reporting.examples import SETTINGS, answered, create, ended, model_of, reference


def federation(last_round: int) -> FederationRecord:
    return FederationRecord(
        federation="f", settings=SETTINGS, status="running", round=last_round, model=reference(last_round), schema="s"
    )


def test_it_has_the_rounds_and_rows_and_sums_that_a_folder_has(tmp_path: Path) -> None:
    so_far = RunSoFar("")
    with create(tmp_path / "f") as writer:
        for number in (1, 2, 3):
            record = ended(number)
            so_far.add(record, answered(record))
            writer.add_round(record, answered(record), model=model_of(number))
        writer.finish("running")
    folder, run = read(tmp_path / "f"), so_far.recorded(federation(3))
    assert run.rounds == folder.rounds
    without_metrics = [[msgspec.structs.replace(row, metrics={}) for row in of.clients] for of in (run, folder)]
    assert without_metrics[0] == without_metrics[1]  # the folder has the metrics of rounds alone
    assert (run.summary.totals, run.summary.metrics) == (folder.summary.totals, folder.summary.metrics)
    assert run.summary.model is not None
    assert folder.summary.model is not None
    assert msgspec.structs.replace(run.summary.model, round=3) == folder.summary.model


def test_of_many_rows_it_keeps_those_of_the_last_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_so_far, "MOST_ROWS", 5)
    so_far = RunSoFar("")
    for number in (1, 2, 3, 4):
        record = ended(number)
        so_far.add(record, answered(record))
    run = so_far.recorded(federation(4))
    assert [line.round for line in run.rounds] == [1, 2, 3, 4]
    assert [row.round for row in run.clients] == [3, 3, 4, 4]
    assert run.summary.totals.rounds == 4


def test_a_run_without_a_round_can_be_pictured() -> None:
    run = RunSoFar("").recorded(federation(0))
    assert (run.rounds, run.clients, run.summary.rounds) == ((), (), 0)
