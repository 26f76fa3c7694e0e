"""A device that is told to evaluate: real processes, real torch, a real S3."""

import hashlib
from collections.abc import Callable

import msgspec
import torch
from torch import nn

from components.client.trainer.model.state_dict import dump_model
from protocol import names
from protocol.encodings import EVALUATION
from protocol.messages import Assignment, Average, Evaluate, Progress
from sandbox.embedded_aws import EmbeddedAws
from tests.components.client.conftest import TASK
from tests.components.client.nucleus import FEDERATION
from tests.components.client.supervised import BUCKET, AgentOf, read_update


def with_average(aws: EmbeddedAws, assignment: Assignment, **changes: object) -> Assignment:
    """The assignment, to evaluate this model and another one that is the moving average."""
    torch.manual_seed(3)
    data = dump_model(nn.Linear(4, 2), FEDERATION, assignment.round - 1)
    aws.client("s3").put_object(Bucket=BUCKET, Key=names.ema_key(FEDERATION, assignment.round - 1), Body=data)
    average = msgspec.structs.replace(Average(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)), **changes)
    return msgspec.structs.replace(assignment, v=3, evaluate=Evaluate(average=average))


def test_it_measures_both_models_and_sends_no_tensors(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    agent, assignment = agent_of(), assign(1)
    agent.train(with_average(aws, assignment))
    assert agent.end() == Progress(round=1, phase="done")
    header, report = read_update(aws, 1)
    assert header.tensors == EVALUATION.tensors == ()
    assert (report.base, report.examples, report.steps) == (assignment.model.sha256, 32, 0)
    assert report.before.keys() == report.average.keys() == {"loss", "accuracy"}
    assert report.before != report.average
    assert report.after == report.describe == {}
    assert report.timings.train_s == 0

    agent.train(assign(2))  # the same process trains afterwards, as if it had never evaluated
    assert agent.end().phase == "done"
    _, trained = read_update(aws, 2)
    assert trained.before == report.before
    assert trained.steps > 0


def test_an_average_that_is_not_the_one_that_is_meant_fails_the_round(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    agent = agent_of()
    agent.train(with_average(aws, assign(1), sha256="0" * 64))
    ended = agent.end()
    assert ended.phase == "failed"
    assert "/ema/00000000.safetensors has SHA-256" in (ended.reason or "")


def test_a_device_without_a_test_set_declines(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of(TASK.replace("TensorDataset(inputs[32:], targets[32:])", "None"))
    agent.train(msgspec.structs.replace(assign(1), v=3, evaluate=Evaluate()))
    ended = agent.end()
    assert ended.phase == "declined"
    assert "there is no test set to evaluate on" in (ended.reason or "")
