"""The commands that an operator gives, against a deployment: what they do, what they say, and what they refuse."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from operations.control import Operations
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import Ran
from tests.cli.running import fedgrass as in_this_process
from tests.cli.test_help import loaded

NAME = "operated"

Fedgrass = Callable[..., Ran]


@pytest.fixture(scope="module")
def fedgrass(aws: EmbeddedAws, deployed: Deployment) -> Fedgrass:
    """Gives a command with the operator's credentials."""
    return partial(in_this_process, COLUMNS="200", **aws.environment)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("project")
    (directory / "task.py").write_text(
        "from torch import nn\n\n\n"
        "def build_model() -> nn.Module:\n    return nn.Linear(2, 1)\n\n\n"
        "def load_data(directory, client):\n    raise FileNotFoundError(directory)\n"
    )
    (directory / "federation.yaml").write_text(
        f"name: {NAME}\nrounds: 3\ntraining: {{epochs: 1, batch_size: 8, learning_rate: 0.1}}\n"
    )
    return directory


@pytest.fixture(scope="module")
def made(fedgrass: Fedgrass, project: Path) -> Iterator[str]:
    ran = fedgrass("init", str(project), "--json")
    assert ran.status == 0, ran.error
    assert ran.result["status"] == "ready"
    yield NAME


def refused(ran: Ran, status: int = 1) -> str:
    assert ran.status == status
    assert "Traceback" not in ran.error
    assert ran.error.startswith("error:")
    return ran.error


def test_init_uploads_the_model_that_the_task_builds(
    aws: EmbeddedAws, deployed: Deployment, fedgrass: Fedgrass, made: str
) -> None:
    ran = fedgrass("status", made, "--json")
    (record,) = ran.result["federations"]
    assert record["round"] == 0
    model = Operations(aws.client, deployed).federations.get(made).model
    stored = aws.client("s3").head_object(Bucket=deployed.bucket, Key=record["model"]["key"])
    assert stored["ContentLength"] == model.bytes


def test_a_second_federation_of_the_same_name_is_refused(fedgrass: Fedgrass, made: str, project: Path) -> None:
    assert made in refused(fedgrass("init", str(project)))


def test_an_unknown_federation_is_named_with_the_remedy(fedgrass: Fedgrass, made: str) -> None:
    told = refused(fedgrass("start", "nobody"), 2)
    assert "'nobody'" in told
    assert "fedgrass init" in told


@pytest.mark.parametrize("name", ["", "ä b", "x" * 3000, "UPPER"])
def test_a_name_that_no_federation_can_have_is_refused_before_anybody_is_asked(name: str) -> None:
    for words in (["start", name], ["status", name], ["publish-model", name], ["clients", name]):
        ran = in_this_process(*words, "--json")
        assert (ran.status, ran.envelope["error"]["code"]) == (2, "invalid_name"), words
        assert "use 1 to 40 of a-z" in ran.envelope["error"]["message"]


def test_an_unknown_stack_is_named_with_the_remedy(fedgrass: Fedgrass) -> None:
    told = refused(fedgrass("status", "--stack", "elsewhere"), 3)
    assert "'elsewhere'" in told
    assert "fedgrass deploy cloud" in told


def test_a_federation_is_started_paused_and_resumed(fedgrass: Fedgrass, made: str) -> None:
    assert "is ready" in refused(fedgrass("pause", made))
    assert "3 rounds to go" in fedgrass("start", made).out
    assert "paused" in fedgrass("pause", made).out
    assert fedgrass("status", made, "--json").result["federations"][0]["status"] == "paused"
    assert "goes on with round 1" in fedgrass("resume", made).out


def test_what_needs_a_round_says_that_there_is_none(fedgrass: Fedgrass, made: str) -> None:
    assert "no round" in refused(fedgrass("abort-round", made))
    assert "has no round 2" in refused(fedgrass("timeline", made, "2"), 2)
    fedgrass("pause", made)
    assert "has no round 2" in refused(fedgrass("rollback", made, "--to", "2"), 2)
    assert "models/00000000" in fedgrass("rollback", made, "--to", "0").out


def test_what_is_only_asked_of_aws_loads_neither_numpy_nor_torch(aws: EmbeddedAws, made: str) -> None:
    ran = loaded("status", made, **aws.environment)
    assert ran.returncode == 0, ran.stderr
    assert made in ran.stdout
    assert "'boto3'" in ran.stderr
    assert not any(module in ran.stderr for module in ("numpy", "torch"))


def test_what_leaves_says_what_a_device_sends(tmp_path: Path) -> None:
    ran = in_this_process("what-leaves", str(tmp_path))
    assert ran.status == 0
    assert "No update waits" in ran.out
    said = in_this_process("what-leaves", str(tmp_path), "--json").result
    assert said["pending"] is None
    assert said["hello"]["cpu_count"] == os.cpu_count()
