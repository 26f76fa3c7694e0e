"""Each of the mistakes that newcomers make in federation.yaml is told, with the line of theirs and what to do."""

from pathlib import Path

import pytest

from benchmarks.newcomer_mistakes.in_settings import MISTAKES
from benchmarks.newcomer_mistakes.mistake import Mistake
from cli.checking.trial_here import TrialHere
from tests.cli.checking.conftest import is_told


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.name)
def test_it_is_told_with_its_line_and_a_remedy(mistake: Mistake, here: TrialHere, tmp_path: Path) -> None:
    assert is_told(mistake, here, tmp_path)
