"""cli/preflight.py: what `fedgrass init` and `fedgrass start` refuse, since no round could open or be averaged."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import preflight
from cli.preflight import NotReadyError
from operations import packaging
from operations.control import Operations
from operations.deployment import Deployment
from protocol.messages import ModelReference
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.test_commands import Fedgrass, fedgrass, refused
from tests.cloud.examples import federation

__all__ = ["fedgrass"]

POLICIES = b"def is_complete(round):\n    return True\n"
MODEL = ModelReference(key="federations/few/models/00000000.safetensors", sha256="0" * 64, bytes=1)

Check = Callable[..., None]


@pytest.fixture(scope="module")
def group(aws: EmbeddedAws) -> str:
    """A thing group with two things."""
    iot = aws.client("iot")
    iot.create_thing_group(thingGroupName="few")
    for thing in ("few-1", "few-2"):
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingGroupName="few", thingName=thing)
    return "few"


@pytest.fixture(scope="module")
def stack(aws: EmbeddedAws) -> Iterator[str]:
    """A stack whose functions have the rules of federation f."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="readiness-code")
    s3.put_object(Bucket="readiness-code", Key="code.zip", Body=packaging.code({"f": POLICIES}))
    template = {
        "Parameters": {"CodeBucket": {"Type": "String"}, "CodeKey": {"Type": "String"}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    parameters = {"CodeBucket": "readiness-code", "CodeKey": "code.zip"}
    aws.client("cloudformation").create_stack(
        StackName="readiness",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    yield "readiness"


def refusal(aws: EmbeddedAws, stack: str, policies: bytes | None = None, **changes: Any) -> str:
    with pytest.raises(NotReadyError) as refused:
        preflight.check(aws.client, stack, federation(**changes), policies)
    return str(refused.value)


def test_custom_functions_that_are_deployed_are_taken(aws: EmbeddedAws, stack: str) -> None:
    preflight.check(aws.client, stack, federation(completion="custom"), POLICIES)
    preflight.check(aws.client, stack, federation(completion="custom"))
    preflight.check(aws.client, stack, federation(name="other"))  # which has none


def test_custom_functions_that_were_never_deployed_are_refused_with_the_remedy(aws: EmbeddedAws, stack: str) -> None:
    told = refusal(aws, stack, POLICIES, name="other", completion="custom", pacing={"policy": "custom"})
    assert told.startswith(
        "the rules of other (is_complete, next_round_delay) were never deployed: fedgrass deploy cloud "
    )
    assert told.endswith("--stack readiness")


def test_custom_functions_that_have_changed_since_are_refused(aws: EmbeddedAws, stack: str) -> None:
    assert "is not what was deployed" in refusal(aws, stack, POLICIES + b"\n", completion="custom")


def test_a_minimum_over_what_the_thing_group_has_is_refused(aws: EmbeddedAws, stack: str, group: str) -> None:
    preflight.check(aws.client, stack, federation(thing_group=group, selection={"minimum": 2}))
    told = refusal(aws, stack, thing_group=group, selection={"minimum": 3})
    assert told == (
        "thing group few has 2 things:\n"
        "selection.minimum: 3 is more than the 2 clients that there are: no round could open"
    )


def test_byzantine_clients_over_what_the_thing_group_can_bear_are_refused(
    aws: EmbeddedAws, stack: str, group: str
) -> None:
    told = refusal(aws, stack, thing_group=group, averaging={"rule": "krum"})
    assert "averaging.byzantine: 1 with selection.cohort 2: krum needs 5 clients" in told


def test_a_thing_group_that_does_not_exist_is_named(aws: EmbeddedAws, stack: str) -> None:
    assert refusal(aws, stack, thing_group="nobody").startswith("there is no thing group nobody")


def test_init_refuses_and_leaves_nothing_behind(
    aws: EmbeddedAws, deployed: Deployment, fedgrass: Fedgrass, group: str, tmp_path: Path
) -> None:
    (tmp_path / "task.py").write_text(
        "from torch import nn\ndef build_model(): return nn.Linear(1, 1)\ndef load_data(directory, client): ...\n"
    )
    (tmp_path / "federation.yaml").write_text(
        "name: too-few\nthing_group: few\nselection: {minimum: 3}\n"
        "training: {epochs: 1, batch_size: 1, learning_rate: 1}\n"
    )
    assert "selection.minimum: 3 is more than the 2 clients" in refused(fedgrass("init", str(tmp_path)))
    assert "too-few" not in {record.federation for record in Operations(aws.client, deployed).federations.all()}


def test_a_thing_group_may_be_made_between_init_and_start(fedgrass: Fedgrass, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(
        "from torch import nn\ndef build_model(): return nn.Linear(1, 1)\ndef load_data(directory, client): ...\n"
    )
    (tmp_path / "federation.yaml").write_text(
        "name: early\nthing_group: to-be-made\ntraining: {epochs: 1, batch_size: 1, learning_rate: 1}\n"
    )
    made = fedgrass("init", str(tmp_path))
    assert made.status == 0, made.error
    assert "before the start: there is no thing group to-be-made: make it" in made.out
    assert "there is no thing group to-be-made" in refused(fedgrass("start", "early"))


def test_start_and_resume_refuse_what_init_did_not_see(
    aws: EmbeddedAws, deployed: Deployment, fedgrass: Fedgrass
) -> None:
    federations = Operations(aws.client, deployed).federations
    federations.create(federation(name="unruly", completion="custom"), MODEL, "s")
    for command in ("start", "resume"):
        assert "the rules of unruly (is_complete) were never deployed" in refused(fedgrass(command, "unruly"))
    assert federations.get("unruly").status == "ready"
