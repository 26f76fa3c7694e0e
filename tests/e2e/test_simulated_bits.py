"""Rounds on the sandbox, with every real part, and simulated: the same model, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from cli.project import load
from operations.deployment import Deployment
from reporting.records import MODEL
from reporting.run_folder import RunFolder
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import fedgrass
from tests.e2e.federations import carry_through

TASKS = Path(__file__).parent / "simulated"
DEVICES = 4
FAILING = 1


def write_data(directory: Path, things: list[str]) -> dict[str, Path]:
    """Data of another size for each device, and a label that fails the training of one."""
    folders = {}
    for number, thing in enumerate(things):
        generator = np.random.default_rng(number)
        folders[thing] = directory / thing
        folders[thing].mkdir(parents=True)
        inputs = generator.normal(size=(40 + 7 * number, 20)).astype(np.float32)
        labels = (inputs[:, :3] + generator.normal(size=3)).argmax(1)
        if number == FAILING:
            labels[:] = 9
        np.save(folders[thing] / "inputs.npy", inputs)
        np.save(folders[thing] / "labels.npy", labels)
    return folders


@pytest.mark.timeout(400)
@pytest.mark.parametrize("task", ["normalized", "hand_made"])
def test_the_sandbox_and_a_simulation_make_the_same_model_bit_for_bit(
    aws: EmbeddedAws, deployed: Deployment, tmp_path: Path, task: str
) -> None:
    """With over-selection, and a device that fails in each round: the others are the target."""
    project = load(TASKS / task)
    name = project.settings.name
    things = [f"{name}-{number}" for number in range(DEVICES)]
    operations = carry_through(aws, deployed, project, write_data(tmp_path / "data", things))
    rounds = [operations.rounds.get(name, number) for number in range(1, 6)]
    reports = [operations.rounds.responses(name, number).accepted for number in range(1, 6)]
    models = [operations.models.get(record.model) for record in rounds if record.model is not None]
    assert [(record.status, record.accepted) for record in rounds] == [("closed", DEVICES - 1)] * 5

    out = tmp_path / "run"
    ran = fedgrass("simulate", str(TASKS / task), "--data", str(tmp_path / "data"), "--out", str(out))
    assert ran.status == 0, ran.error
    folder = RunFolder(out)
    lines = list(folder.rounds())
    assert [line.model_sha256 for line in lines] == [record.model.sha256 for record in rounds if record.model]
    assert (folder.path / MODEL).read_bytes() == models[-1]
    assert [line.metrics for line in lines] == [record.metrics for record in rounds]
    norms = {(row.round, row.client): row.norm for row in folder.clients() if row.state == "accepted"}
    assert norms == {(one.report.round, one.thing): one.norm for some in reports for one in some if one.report}
    without = {row.client for row in folder.clients() if row.state == "failed" or row.state == "declined"}
    assert without == {things[FAILING]}
