"""A process that is forked can't tell that it was not started, nor can the one that asked for it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.forking import popen
from tests.paths import ROOT


def seen(directory: Path, **options: Any) -> tuple[dict[str, Any], str, str, int]:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forking.seen", str(writing), "two words"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ONE": "1 = 1\n"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        text=True,
        **options,
    )
    os.close(writing)
    out, error = process.communicate("what is given it", timeout=60)
    with os.fdopen(reading) as by_number:
        return json.loads(out), error, by_number.read(), process.returncode


@pytest.mark.parametrize("options", [{}, {"process_group": 0, "umask": 0o077}, {"start_new_session": True}], ids=str)
def test_it_sees_what_one_that_is_started_sees(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = seen(tmp_path, **options)
    monkeypatch.setattr(popen, "FORKED", (("tests.forking.seen",),))
    forked = seen(tmp_path, **options)
    assert (started[0].pop("torch"), forked[0].pop("torch")) == (False, True)
    assert forked[0] == started[0]
    assert forked[1:] == started[1:]
    assert forked[0]["parent"] == os.getpid()
    assert forked[1:] == ("and an error\n", "by its number", -signal.SIGTERM)
