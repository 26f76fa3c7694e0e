"""What the documents and our own messages have people give to AWS's command line is what it takes, and does it."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operations.deployment import Deployment
from protocol.names import shadow_name
from sandbox.embedded_aws import ACCOUNT, EmbeddedAws
from sandbox.greengrass.core_devices import CoreDevice
from tests.docs.aws_command_line import HOLE, UnknownWordError, parsed
from tests.docs.markdown import DOCUMENTS, prose, spans
from tests.docs.typed import typed
from tests.paths import ROOT

ABOUT_THE_PROGRAM = ("aws configure", "aws sso login")
"""They log in: no call of a service that is named."""

IN_PART = {
    "aws iot attach-thing-principal --thing-principal-type EXCLUSIVE_THING ...",
    "aws greengrassv2 create-deployment --cli-input-json",
    "aws greengrassv2 delete-component",
}
"""What is only mentioned, with the option that matters."""

NOT_IN_THE_EMBEDDED_AWS = {"aws sqs start-message-move-task"}
"""What ministack doesn't know: botocore has still found nothing wrong with it."""


PROGRESS = {"progress": {"round": 3, "phase": "training"}}


def lines() -> list[str]:
    """Those of the blocks, and those in sentences and tables, each once, in the order of the documents."""
    mentioned = [span for document in DOCUMENTS for span in spans(prose(document))]
    found = [line for line in (*typed(), *mentioned) if line.startswith("aws ")]
    return [line for line in dict.fromkeys(found) if line not in ABOUT_THE_PROGRAM]


WHOLE = [line for line in lines() if line not in IN_PART]


def filled(text: str, holes: Mapping[str, str]) -> str:
    """A text with something in the place of each `<...>`."""
    return re.sub(r"<([^<>]+)>", lambda match: holes.get(match[1], HOLE), text)


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are given there."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("line", WHOLE)
def test_a_line_is_a_call_to_which_nothing_is_wrong(line: str) -> None:
    assert parsed(filled(line, {})).faults == ""


@pytest.mark.parametrize("line", sorted(IN_PART))
def test_what_is_mentioned_in_part_is_known(line: str) -> None:
    assert line in lines()
    assert parsed(line).faults != ""


@pytest.mark.parametrize(
    "line",
    [
        "aws greengrasv2 list-core-devices",
        "aws greengrassv2 list-core-device",
        "aws greengrassv2 list-core-devices --thing-group digit-readers",
        "aws greengrassv2 list-installed-components --core-device-thing-name pi-7 --topology-filter SOME",
    ],
)
def test_a_word_that_is_not_of_aws_is_found(line: str) -> None:
    with pytest.raises(UnknownWordError):
        parsed(line)


def test_an_option_that_is_missing_is_found() -> None:
    assert "coreDeviceThingName" in parsed("aws greengrassv2 list-installed-components").faults


@pytest.fixture
def holes(aws: EmbeddedAws, deployed: Deployment) -> Iterator[dict[str, str]]:
    """What the documents leave to be filled in, in an account that has the devices and the group of their examples."""
    iot, iam = aws.client("iot"), aws.client("iam")
    group = iot.create_thing_group(thingGroupName="digit-readers")["thingGroupArn"]
    for thing in ("pi-1", "pi-7"):
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingGroupName="digit-readers", thingName=thing)
        aws.greengrass.devices.report(
            CoreDevice(
                thing=thing,
                nucleus="2.16.0",
                runtime="aws_nucleus_classic",
                platform="linux",
                architecture="aarch64",
                reported_at=datetime.now(UTC),
            )
        )
    aws.client("iot-data").update_thing_shadow(
        thingName="pi-7", shadowName=shadow_name("digits"), payload=json.dumps({"state": {"reported": PROGRESS}})
    )
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName="of-documents", AssumeRolePolicyDocument=trust)
    yield {
        "ARN of the thing group": group,
        "the devices' role": "of-documents",
        "device_iot_policy_name": deployed.device_iot_policy_name,
        "device_policy_arn": deployed.device_policy_arn,
        "its ARN": f"arn:aws:sqs:{aws.region}:{ACCOUNT}:{deployed.stack}-updates-dead-letters",
    }
    iot.detach_policy(policyName=deployed.device_iot_policy_name, target=group)
    iam.detach_role_policy(RoleName="of-documents", PolicyArn=deployed.device_policy_arn)
    iam.delete_role(RoleName="of-documents")
    iam.delete_policy(PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/fedgrass-operator")


def test_each_line_does_what_it_is_shown_for(aws: EmbeddedAws, holes: dict[str, str]) -> None:
    answers: dict[str, Any] = {}
    unknown = set()
    for line in WHOLE:
        call = parsed(filled(line.replace("123456789012", ACCOUNT), holes))
        of_service = " ".join(line.split()[:3])
        try:
            answer = getattr(aws.client(line.split()[1]), call.method)(**call.parameters)
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("InvalidAction", "UnknownOperation"), (line, error)
            unknown.add(of_service)
        else:
            answers[of_service] = call.shown(answer)
    assert unknown == NOT_IN_THE_EMBEDDED_AWS
    devices = answers["aws greengrassv2 list-core-devices"]["coreDevices"]
    assert {device["coreDeviceThingName"] for device in devices} == {"pi-1", "pi-7"}
    assert answers["aws greengrassv2 list-effective-deployments"]["effectiveDeployments"] == []
    assert json.loads(answers["aws iot-data get-thing-shadow"]["payload"].read())["state"]["reported"] == PROGRESS
    assert answers["aws cloudformation describe-stack-resource"]["StackResourceDetail"]["PhysicalResourceId"]


SOURCES = [path for room in ("cli", "cloud", "components", "operations") for path in (ROOT / room).rglob("*.py")]


def texts(source: str) -> Iterator[str]:
    """The texts of a program, with holes for what is filled in."""
    found = list(ast.walk(ast.parse(source)))
    parts = {id(part) for node in found if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in found:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def remedies() -> list[str]:
    """The commands that messages name, up to where they end."""
    sources = (source for path in SOURCES if "aws " in (source := path.read_text()))
    found = (text for source in sources for text in texts(source) if "aws " in text)
    commands = (re.findall(r"\baws [a-z0-9-]+ [a-z]+-[a-z-]+(?: [^`;,()]*)?", filled(text, {})) for text in found)
    return sorted({command.strip() for each in commands for command in each})


def test_a_remedy_is_a_call_to_which_nothing_is_wrong() -> None:
    commands = remedies()
    assert len(commands) > 25
    assert "aws iam list-roles" in commands
    calls = {command: parsed(command) for command in commands}
    # Others are only mentioned, or have options filled in.
    whole = {command: call for command, call in calls.items() if call.parameters and not call.parts}
    assert {command: call.faults for command, call in whole.items() if call.faults} == {}
