"""Rounds on the sandbox, with every real part, and simulated: the same model, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from cli.checking.checks import check_loaded
from cli.project import load
from cli.project_sandbox import build_component, init_federation
from reporting.run_folder import RunFolder
from sandbox.federated_run import run_rounds, wait_for_clients
from sandbox.sandbox import Sandbox
from tests.cli.running import fedgrass

TASKS = Path(__file__).parent / "simulated"
THINGS = [f"device-{number:03d}" for number in range(8)]
FAILING = THINGS[3]


def write_data(directory: Path) -> dict[str, Path]:
    """Data of another size for each device, and a label that fails the training of one."""
    folders = {}
    for number, thing in enumerate(THINGS):
        generator = np.random.default_rng(number)
        folders[thing] = directory / thing
        folders[thing].mkdir(parents=True)
        inputs = generator.normal(size=(40 + 7 * number, 20)).astype(np.float32)
        labels = (inputs[:, :3] + generator.normal(size=3)).argmax(1)
        if thing == FAILING:
            labels[:] = 9
        np.save(folders[thing] / "inputs.npy", inputs)
        np.save(folders[thing] / "labels.npy", labels)
    return folders


@pytest.mark.timeout(400)
@pytest.mark.parametrize("task", ["normalized", "hand_made"])
def test_the_sandbox_and_a_simulation_make_the_same_model_bit_for_bit(tmp_path: Path, task: str) -> None:
    """With over-selection, and a device that fails in each round: the other seven are the target."""
    project = load(TASKS / task)
    name = project.settings.name
    folders = write_data(tmp_path / "data")
    with Sandbox() as sandbox:
        component = build_component(project, sandbox.path / "build")
        init_federation(project, sandbox, check_loaded(project).model)
        with sandbox.fleet(component, project.settings, folders, threads=1) as fleet:
            operations = sandbox.operations
            wait_for_clients(operations, name, fleet)
            run_rounds(sandbox, operations, name)
            rounds = [operations.rounds.get(name, number) for number in range(1, 6)]
            reports = [operations.rounds.responses(name, number).accepted for number in range(1, 6)]
            models = [operations.models.get(record.model) for record in rounds if record.model is not None]
    assert [(record.status, record.accepted) for record in rounds] == [("closed", 7)] * 5

    out = tmp_path / "run"
    ran = fedgrass("simulate", str(TASKS / task), "--data", str(tmp_path / "data"), "--out", str(out))
    assert ran.status == 0, ran.error
    folder = RunFolder(out)
    lines = list(folder.rounds())
    assert [line.model_sha256 for line in lines] == [record.model.sha256 for record in rounds if record.model]
    assert folder.model.read_bytes() == models[-1]
    assert [line.metrics for line in lines] == [record.metrics for record in rounds]
    norms = {(row.round, row.client): row.norm for row in folder.clients() if row.state == "accepted"}
    assert norms == {(one.report.round, one.thing): one.norm for some in reports for one in some if one.report}
    assert {row.client for row in folder.clients() if row.state == "failed" or row.state == "declined"} == {FAILING}
