"""Projects of templates, through every real part."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.client_data import clients_of
from cli.project import load
from components.client.trainer.task.loading import load_task
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from simulation.held_out import HeldOut
from tests.cli.running import fedgrass
from tests.e2e.federations import carry_through

ROUNDS = 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("template", "devices", "metric", "reached"),
    [
        ("blank", 2, "accuracy", lambda value: value >= 0.8),
        ("sensor", 2, "accuracy", lambda value: value >= 0.25),
        ("tabular", 2, "error_mpg", lambda value: value <= 4.5),
        ("text", 3, "accuracy", lambda value: value >= 0.5),
        ("vision", 3, "accuracy", lambda value: value >= 0.7),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_template_trains_in_the_sandbox(
    template: str,
    devices: int,
    metric: str,
    reached: Callable[[float], bool],
    aws: EmbeddedAws,
    deployed: Deployment,
    tmp_path: Path,
) -> None:
    folder = tmp_path / f"my-{template}"
    assert fedgrass("new", str(folder), "--template", template).status == 0
    project = load(folder, rounds=ROUNDS)
    data = clients_of(folder / "data", clients=devices, split=None, seed=0, scratch=tmp_path / "shards")
    assert data.holdout is not None
    things = {f"{template}-{client}": path for client, path in data.folders.items()}
    operations = carry_through(aws, deployed, project, things)
    records = [operations.rounds.get(project.settings.name, number) for number in range(1, ROUNDS + 1)]
    assert [record.status for record in records] == ["closed"] * ROUNDS
    assert records[-1].model is not None
    held_out = HeldOut(load_task(project.task), data.holdout)
    value = held_out.score(operations.models.get(records[-1].model), project.settings.training.seed)[metric]
    assert value is not None
    assert reached(value)
