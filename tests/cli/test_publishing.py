"""`fedgrass publish-model`: shows what it would publish, asks, publishes once, and exports the network if it can."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cli.exported_model import ExportError, exporter
from components.client.trainer.model import state_dict
from components.client.trainer.task.loading import TaskError, load_task
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import Ran, fedgrass
from tests.cloud.simulated import SimulatedFederation

TASK = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, 3))
        self.register_buffer("s", torch.tensor(1.0, dtype=torch.bfloat16))
        self.register_buffer("n", torch.tensor(0))

    def forward(self, inputs):
        return inputs @ self.w + self.n

def build_model():
    return Model()

def load_data(directory, client):
    raise FileNotFoundError(directory)
"""
EXAMPLE = "\ndef example_inputs():\n    return torch.zeros(2, 2)\n"


@pytest.fixture(autouse=True)
def operator(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has credentials, and a wide window."""
    for variable, value in (aws.environment | {"COLUMNS": "200"}).items():
        monkeypatch.setenv(variable, value)


def publish(*words: str) -> Ran:
    return fedgrass("publish-model", *words)


@pytest.fixture(scope="module")
def trained(aws: EmbeddedAws, deployed: Deployment) -> Iterator[SimulatedFederation]:
    """A federation with the model of one round."""
    federation = SimulatedFederation(aws, deployed, "shown")
    federation.create(["d0"], rounds=1)
    federation.start()
    federation.answer("d0", 1)
    assert federation.ended(1).status == "closed"
    yield federation
    federation.stop()


@pytest.fixture
def project(trained: SimulatedFederation, tmp_path: Path) -> Path:
    (tmp_path / "task.py").write_text(TASK + EXAMPLE)
    (tmp_path / "federation.yaml").write_text(
        f"name: {trained.name}\nrounds: 1\ntraining: {{epochs: 1, batch_size: 8, learning_rate: 0.1}}\n"
    )
    return tmp_path


def test_a_model_is_shown_published_and_told_when_it_is_published_again(
    aws: EmbeddedAws, trained: SimulatedFederation, project: Path
) -> None:
    component = ("--component-name", "com.example.Shown", "--project", str(project))
    rehearsed = publish(trained.name, *component, "--dry-run")
    assert rehearsed.status == 0, rehearsed.error
    assert f"com.example.Shown 1.0.0: the model of round 1 of {trained.name}" in rehearsed.out
    for file in ("model.safetensors", "model.json", "model.pt2"):
        assert file in rehearsed.out

    unasked = publish(trained.name, *component)
    assert unasked.status == 2
    assert "give --yes to change this, or --dry-run to look at it" in unasked.error

    published = publish(trained.name, *component, "--round", "1", "--yes", "--json")
    assert published.status == 0, published.error
    told = published.result
    assert (told["component"], told["version"], told["published"]) == ("com.example.Shown", "1.0.0", True)
    assert told["model"]["round"] == 1
    body = aws.client("s3").get_object(Bucket=told["bucket"], Key=f"{told['prefix']}/model.pt2")["Body"].read()
    assert hashlib.sha256(body).hexdigest() == told["artifacts"]["model.pt2"]["sha256"]

    again = publish(trained.name, *component, "--yes", "--bucket", "no-such-bucket-of-mine")
    assert again.status == 0
    assert f"the model of round 1 of {trained.name} is published already: com.example.Shown 1.0.0" in again.out
    assert f", in s3://{trained.deployed.bucket}/{told['prefix']}" in again.out


def test_by_default_the_component_is_called_after_the_federation_and_has_the_tensors_alone(
    aws: EmbeddedAws, trained: SimulatedFederation
) -> None:
    told = publish(trained.name, "--dry-run", "--json").result
    assert told["component"] == f"com.fedgrass.Model.{trained.name}"
    assert told["bucket"] == trained.deployed.bucket
    assert set(told["artifacts"]) == {"model.safetensors", "model.json"}
    assert not told["published"]


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--round", "7"), 2, "has no round 7"),
        (("--component-name", "a b"), 2, "component name 'a b'"),
        (("--version", "1"), 2, "version '1': write three numbers"),
        (("--bucket", "Ü"), 2, "'Ü' is no bucket's name"),
        (("--bucket", ""), 2, "'' is no bucket's name"),
        (("--bucket", "s3://mine"), 2, "'s3://mine' is no bucket's name"),
    ],
)
def test_what_can_not_be_published_is_told(
    aws: EmbeddedAws, trained: SimulatedFederation, options: tuple[str, ...], status: int, told: str
) -> None:
    ran = publish(trained.name, *options, "--dry-run")
    assert ran.status == status
    assert told in ran.error


def test_devices_may_read_what_is_published_and_write_none_of_it(aws: EmbeddedAws, deployed: Deployment) -> None:
    arn = deployed.device_policy_arn
    version = aws.client("iam").get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = aws.client("iam").get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    reading = [one for one in document["Statement"] if "published/" in json.dumps(one)]
    assert [one["Action"] for one in reading] == ["s3:GetObject"]


# --- the network ---


def model_of(task: Path) -> bytes:
    network = load_task(task).build_model()
    with torch.no_grad():
        for value in network.parameters():
            value.fill_(2.0)
    return state_dict.dump_model(network, "digits")


def test_a_network_that_is_exported_gives_what_the_model_gives_for_batches_of_any_size(project: Path) -> None:
    exported = exporter(project, seed=0)
    assert exported is not None
    program, sha256 = exported
    (project / "model.pt2").write_bytes(program(model_of(project)))
    assert sha256 == load_task(project).sha256
    loaded = torch.export.load(project / "model.pt2").module()
    for size in (1, 2, 5):
        inputs = torch.ones(size, 2)
        assert torch.equal(loaded(inputs), torch.full((size, 3), 4.0))


def test_without_example_inputs_there_is_nothing_to_export(project: Path) -> None:
    (project / "task.py").write_text(TASK)
    assert exporter(project, seed=0) is None


@pytest.mark.parametrize("returned", ["3", "()", "[torch.zeros(2, 2)]", "(torch.zeros(2, 2), 1)"])
def test_example_inputs_that_are_none_are_told(project: Path, returned: str) -> None:
    (project / "task.py").write_text(f"{TASK}\ndef example_inputs():\n    return {returned}\n")
    with pytest.raises(TaskError, match=r"example_inputs\(\) of task.py has to return a tensor, or a tuple of tensors"):
        exporter(project, seed=0)


def test_a_network_that_can_not_be_exported_is_told_with_the_remedy(project: Path) -> None:
    (project / "task.py").write_text(
        TASK.replace("return inputs @", "print(float(inputs.sum()))\n        return inputs @") + EXAMPLE
    )
    exported = exporter(project, seed=0)
    assert exported is not None
    with pytest.raises(ExportError, match="without example_inputs"):
        exported[0](model_of(project))


def test_a_model_of_another_network_is_told(project: Path, tmp_path: Path) -> None:
    model = model_of(project)
    (project / "task.py").write_text(TASK.replace("(2, 3)", "(2, 4)") + EXAMPLE)
    exported = exporter(project, seed=0)
    assert exported is not None
    with pytest.raises(ExportError, match="the model is none of build_model"):
        exported[0](model)
