"""cli/templates/: each trains in simulation to the figure that docs/tasks.md states."""

import re
from pathlib import Path

import pytest

from tests.cli.running import fedgrass
from tests.docs.markdown import table

FEW_ROUNDS = {"blank": 6, "sensor": 16, "tabular": 12, "text": 8, "vision": 7}
"""In which the figure is reached: most templates have more."""


def figures() -> dict[str, tuple[str, str, float]]:
    """Template -> metric, comparison and bound, as the documents state them."""
    rows = table("docs/tasks.md", "template", "task", "clients", "figure").rows
    parsed = {name.strip("`"): re.fullmatch(r"`(\w+)` (above|below) ([0-9.]+)", figure) for name, *_, figure in rows}
    return {name: (match[1], match[2], float(match[3])) for name, match in parsed.items() if match}


def test_each_template_has_its_figure() -> None:
    assert sorted(figures()) == sorted(FEW_ROUNDS)


@pytest.mark.parametrize("name", sorted(FEW_ROUNDS))
def test_a_template_trains_to_its_figure(name: str, tmp_path: Path) -> None:
    project = tmp_path / name
    assert fedgrass("new", str(project), "--template", name).status == 0
    rounds = str(FEW_ROUNDS[name])
    words = ["simulate", str(project), "--rounds", rounds, "--evaluate-every", rounds, "--out", str(tmp_path / "run")]
    backend = "auto" if name == "sensor" else "loop"  # who computes makes no difference, and each process imports torch
    ran = fedgrass(*words, "--backend", backend, "--json")
    assert ran.status == 0, ran.error
    warnings = [line for line in ran.error.splitlines() if "warning: " in line]
    assert [line for line in warnings if "norms of" not in line] == []  # such as the check that comes first has
    metric, comparison, bound = figures()[name]
    value = ran.result["summary"]["metrics"]["held_out"][metric]["last"]["value"]
    assert (value > bound) == (comparison == "above"), value
