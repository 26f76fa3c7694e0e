"""A disk that is full, or takes nothing, in a real round: it costs what would have been kept, and never the round."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.client.trainer.files.round_files import UPDATE
from components.client.trainer.files.upload_description import SENT
from protocol.messages import Assignment, Progress
from sandbox.embedded_aws import EmbeddedAws
from tests.components.client.supervised import AgentOf, read_update


def fill(work: Path) -> None:
    """Has all that a round writes meet a full disk, until it is removed."""
    for name in (
        "round/checkpoint",
        f"round/{UPDATE}",
        "round/model",
        Path(SENT).with_suffix(""),
        "residuals/00000001",
    ):
        path = (work / name).with_suffix(".new")
        path.parent.mkdir(exist_ok=True)
        path.symlink_to("/dev/full")
    (work / "round" / "model.part").symlink_to("/dev/full")


def test_a_round_on_a_full_disk_ends_well_and_the_next_one_keeps_what_it_can(
    agent_of: AgentOf,
    assign: Callable[..., Assignment],
    tmp_path: Path,
    aws: EmbeddedAws,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fill(tmp_path)
    agent = agent_of()
    agent.train(assign(1, epochs=3))
    assert agent.end() == Progress(round=1, phase="done")
    said = capfd.readouterr().err
    for line in ("cannot keep the model", "cannot keep the checkpoint", "cannot note what was sent"):
        assert said.count(line) == 1
    assert said.count("No space left on device") == 3
    assert not (tmp_path / "round").exists()
    agent.train(assign(2))
    assert agent.end() == Progress(round=2, phase="done")
    assert (tmp_path / SENT).exists()
    assert "No space left" not in capfd.readouterr().err
    read_update(aws, 2)


def test_a_work_folder_that_takes_nothing_costs_no_round(
    agent_of: AgentOf, assign: Callable[..., Assignment], capfd: pytest.CaptureFixture[str]
) -> None:
    agent = agent_of(work=Path("/proc"))
    agent.train(assign(1))
    assert agent.end() == Progress(round=1, phase="done")
    assert "cannot keep the model" in capfd.readouterr().err
