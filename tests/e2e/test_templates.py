"""Projects of templates, through every real part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import fedgrass
from tests.paths import ROOT


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("template", "metric", "at_least"), [("blank", "accuracy", 0.8), ("sensor", "accuracy", 0.25)])
def test_a_template_trains_in_the_sandbox(template: str, metric: str, at_least: float, tmp_path: Path) -> None:
    project = tmp_path / f"my-{template}"
    assert fedgrass("new", str(project), "--template", template).status == 0
    words = ["demo", str(project), "--data", str(project / "data"), "--devices", "3", "--rounds", "3", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    outcome = json.loads(ran.stdout.splitlines()[-1])["result"]
    assert outcome["rounds"] == 3
    assert outcome["history"][-1]["metrics"][metric] >= at_least
