"""What `make trials` runs: each trial, and each can be asked what it does."""

import re
import subprocess
import sys

import pytest

from tests.paths import ROOT

ENTRIES = [*(ROOT / "trials").glob("*.py"), *(ROOT / "trials").glob("*/__main__.py")]
TRIALS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in ENTRIES
    if path.stem != "__init__"
)


def test_make_runs_all_of_them() -> None:
    recipe = re.search(r"^trials:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert sorted(re.findall(r"-m (trials\.\w+)", recipe[1])) == TRIALS


@pytest.mark.parametrize("trial", TRIALS)
def test_each_says_what_it_does(trial: str) -> None:
    run = subprocess.run([sys.executable, "-m", trial, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert f"python -m {trial}" in run.stdout
    assert run.stderr == ""
