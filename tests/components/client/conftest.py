import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from components.client.agent import supervisor
from components.client.trainer.model.state_dict import dump_model
from protocol import names
from protocol.messages import Assignment, ModelReference, Training
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Gateway
from tests.components.client.nucleus import FEDERATION
from tests.components.client.supervised import BUCKET, TIMEOUT_S, Agent, AgentOf
from tests.conftest import Line


@pytest.fixture(scope="session")
def bucket(aws: EmbeddedAws) -> str:
    """The federation's bucket, without anything that its events would start."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture
def as_device(aws: EmbeddedAws, bucket: str, monkeypatch: pytest.MonkeyPatch) -> EmbeddedAws:
    """Processes that this one starts find S3 and credentials in their environment, as on a device."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return aws


@pytest.fixture
def line_to_s3(as_device: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """What lies between the processes that this one starts and S3: the test decides on each request."""
    line = Line()
    with Gateway(0.0, line) as gateway:
        gateway.upstream = as_device.endpoint
        monkeypatch.setenv("AWS_ENDPOINT_URL", gateway.endpoint)
        yield line


def refusal(status: int, code: str = "SlowDown", message: str = "Reduce your request rate") -> bytes:
    """S3's answer to a request that it refuses."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return b"HTTP/1.1 %d Refused\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)


PutModel = Callable[..., Assignment]


@pytest.fixture
def assign(aws: EmbeddedAws, bucket: str) -> PutModel:
    """Uploads a global model, and gives the assignment to train it."""

    def put(round_number: int = 1, model: nn.Module | None = None, **training: Any) -> Assignment:
        if model is None:
            torch.manual_seed(0)
            model = nn.Linear(4, 2)
        data = dump_model(model, FEDERATION, round_number - 1)
        key = names.model_key(FEDERATION, round_number - 1)
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
        return Assignment(
            round=round_number,
            model=ModelReference(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)),
            training=Training(**{"batch_size": 8, "learning_rate": 0.1, "epochs": 1} | training),
            deadline=4e9,
        )

    return put


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """A device's artifacts, with a small task."""
    directory = tmp_path / "artifacts"
    directory.mkdir()
    (directory / "task.py").write_text(TASK)
    return directory


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called off may take its time to stop: beside other work on this machine half a second can be too short,
    and its process would be killed."""
    monkeypatch.setattr(supervisor, "CONFIRM_S", TIMEOUT_S)


@pytest.fixture
def agent_of(as_device: EmbeddedAws, artifacts: Path) -> Iterator[AgentOf]:
    agents = []

    def make(source: str = TASK, **options: object) -> Agent:
        (artifacts / "task.py").write_text(source)
        agents.append(Agent(artifacts, **options))  # type: ignore[arg-type]
        return agents[-1]

    yield make
    for agent in agents:
        agent.supervisor.stop()


TASK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Client, Data


def build_model():
    return nn.Linear(4, 2)


def load_data(directory, client):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(40, 4, generator=generator)
    targets = (inputs.sum(1) > 0).long()
    return Data(TensorDataset(inputs[:32], targets[:32]), TensorDataset(inputs[32:], targets[32:]))
"""
