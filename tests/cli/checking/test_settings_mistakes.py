"""Each of the mistakes that newcomers make in federation.yaml is told, with the line of theirs and what to do."""

from pathlib import Path

import pytest

from benchmarks.newcomer_mistakes.in_settings import MISTAKES
from benchmarks.newcomer_mistakes.mistake import Mistake
from cli.checking.checks import check_by
from cli.checking.clients import clients_of
from cli.checking.trial_here import TrialHere
from tests.cli.checking.conftest import is_told
from tests.simulation.federations import TASK


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.name)
def test_it_is_told_with_its_line_and_a_remedy(mistake: Mistake, here: TrialHere, tmp_path: Path) -> None:
    assert is_told(mistake, here, tmp_path)


@pytest.mark.parametrize(
    ("settings", "data", "why"),
    [
        ("rounds: many\n", None, "the errors in federation.yaml come first; or name the data with --data"),
        ("rounds: 1\n", "nowhere", "the error in the data comes first"),
        ("rounds: 1\n", None, "there is no data; name some with --data"),
    ],
)
def test_why_there_is_nothing_to_train_on_is_told(
    settings: str, data: str | None, why: str, here: TrialHere, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "task.py").write_text(TASK)
    (own / "federation.yaml").write_text(
        f"name: own\n{settings}training: {{epochs: 1, batch_size: 4, learning_rate: 0.1}}\n"
    )
    if "many" in settings:
        (own / "data" / "clients" / "c0").mkdir(parents=True)
    named = None if data is None else tmp_path / data
    checked = check_by(
        here, own, lambda read, scratch: clients_of(read, named, scratch), lambda _: None, lambda _: None
    )
    assert checked.not_checked[-1] == f"load_data, training and evaluation: {why}"
