"""README.md counts the shapes of tasks and the attacks that there are."""

from tests.paths import ROOT
from trials.attacks.catalogue import ATTACKS
from trials.shapes.catalogue import SHAPES


def test_shapes_and_attacks_are_counted_as_they_are() -> None:
    refused = sum(shape.refused is not None for shape in SHAPES)
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"Tasks of {len(SHAPES) - refused} other shapes train there as they have to" in text
    assert f"and {refused} that can't are refused by name" in text
    assert f"| {len(ATTACKS)}, 0 | `.venv/bin/python -m trials.attacks` |" in text
