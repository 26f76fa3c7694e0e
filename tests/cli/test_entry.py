"""cli/entry.py: what `fedgrass` starts."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.paths import ROOT

INTERRUPTING = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_while_a_command_is_still_being_imported_is_told_in_a_word(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text(INTERRUPTING)
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["fedgrass"]
    module, _, function = script.partition(":")
    ran = subprocess.run(
        [sys.executable, "-c", f"from {module} import {function}; {function}()", "--version"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")
