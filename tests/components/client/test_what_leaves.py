import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from components.client import what_leaves
from components.client.agent import last_assignment
from components.client.agent.last_assignment import Finished
from components.client.trainer.files.round_files import Belonging, RoundFiles, Update, UpdateState
from components.client.trainer.files.upload_description import TensorDescription
from protocol import tensors
from protocol.messages import Progress, Training
from tests.paths import ROOT

REPORT = b'{"v":1,"examples":32,"after":{"loss":0.5}}'
BODY = tensors.dump(
    {"weight": np.zeros((2, 4), np.float32), "count": np.zeros((), np.int64)},
    {"weight": "F32", "count": "I64"},
    REPORT,
)
UPDATE = Update(UpdateState(bucket="b", key="k", schema="s", update_bytes=len(BODY)), BODY, b"stays on the device")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    belonging = Belonging(
        federation="digits",
        thing="t",
        round=1,
        model="a",
        task="b",
        training=Training(batch_size=1, learning_rate=1.0),
        encoding="int8",
        component="0.1.0",
    )
    RoundFiles(tmp_path / "round", belonging).save_update(UPDATE)
    return tmp_path


def test_a_pending_update_is_shown_with_all_that_is_in_it_and_nothing_else(work: Path) -> None:
    pending = what_leaves.leaving_of(work).pending
    assert pending is not None
    assert (pending.bucket, pending.key, pending.bytes) == ("b", "k", len(BODY))
    assert pending.report == msgspec.json.decode(REPORT)
    assert pending.tensors == (TensorDescription("count", "I64", (), 8), TensorDescription("weight", "F32", (2, 4), 32))


def test_the_hello_has_the_number_of_examples_and_the_shadow_the_last_progress(work: Path) -> None:
    progress = Progress(round=7, phase="failed", reason="no", at=1.5)
    last_assignment.save(work / "finished.json", "digits", "pi-7", Finished(sha256="", progress=progress))
    leaving = what_leaves.leaving_of(work)
    assert leaving.hello.examples == 32
    assert leaving.progress == progress


def test_a_device_that_has_sent_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert what_leaves.main([str(tmp_path)]) == 0
    assert "No update waits, and none was sent yet." in capsys.readouterr().out


def test_it_runs_on_a_device_by_itself_as_text_and_as_json(work: Path) -> None:
    command = [sys.executable, "-m", "components.client.what_leaves", str(work)]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "weight" in text
    assert "[2, 4]" in text
    assert "loss" in text
    line = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, check=True).stdout
    assert msgspec.json.decode(line, type=what_leaves.Leaving) == what_leaves.leaving_of(work)


def test_the_documented_command_runs_nothing_that_lies_in_the_current_folder(work: Path, tmp_path: Path) -> None:
    (line,) = re.findall(
        r"^sudo -u \$AS (env .*?) \\\n *(\S*python .*)$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE
    )
    hostile = tmp_path / "hostile"
    for name in ("argparse", "msgspec", "components"):
        (hostile / name).mkdir(parents=True)
        (hostile / name / "__init__.py").write_text("raise SystemExit('hijacked')")
    command = " ".join(line)
    command = re.sub(r"PYTHONPATH=\S+", f"PYTHONPATH={ROOT}", command)
    command = re.sub(r"\S+venv/bin/python", sys.executable, command)
    command = re.sub(r"\S+com\.fedgrass\.Client$", str(work), command)
    run = subprocess.run(shlex.split(command), cwd=hostile, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "weight" in run.stdout


@pytest.mark.parametrize("name", ["nothing", "round/update"])
def test_what_cannot_be_read_is_an_error_with_its_name(
    work: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "round" / "update").write_bytes(b"torn")
    assert what_leaves.main([str(work / name if name == "nothing" else work)]) == 1
    assert "error: " in capsys.readouterr().err
