"""A check takes tasks of all shapes that devices can train, and refuses those that they can't."""

from pathlib import Path

import pytest

from cli.checking.checks import check_by
from cli.checking.trial_here import TrialHere
from trials.shapes.catalogue import SHAPES, TASKS, Shape

SLOW = {"compiled", "tensors-20000"}
"""These take longer than all others together."""


@pytest.mark.parametrize("shape", [one for one in SHAPES if one.name not in SLOW], ids=lambda one: one.name)
def test_a_task_is_refused_only_if_devices_can_not_train_it(shape: Shape, here: TrialHere, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shape.write_data(data, 0)
    checked = check_by(here, TASKS / shape.name, lambda *_: {"device": data}, lambda _: None, lambda _: None)
    errors = " ".join(finding.text for finding in checked.errors)
    assert (shape.refused or "") in errors
    assert bool(errors) == (shape.refused is not None)
