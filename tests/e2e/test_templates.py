"""Projects of templates, through every real part."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import fedgrass


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("template", "metric", "reached"),
    [
        ("blank", "accuracy", lambda value: value >= 0.8),
        ("sensor", "accuracy", lambda value: value >= 0.25),
        ("tabular", "error_mpg", lambda value: value <= 4.5),
        ("text", "accuracy", lambda value: value >= 0.5),
        ("vision", "accuracy", lambda value: value >= 0.7),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_template_trains_in_the_sandbox(
    template: str, metric: str, reached: Callable[[float], bool], tmp_path: Path
) -> None:
    project = tmp_path / f"my-{template}"
    assert fedgrass("new", str(project), "--template", template).status == 0
    words = ["run", str(project), "--devices", "3", "--rounds", "3", "--out", str(tmp_path / "run"), "--json"]
    ran = fedgrass(*words)
    assert ran.status == 0, ran.error
    assert ran.result["rounds"] == 3
    assert reached(ran.result["history"][-1]["metrics"][metric])
