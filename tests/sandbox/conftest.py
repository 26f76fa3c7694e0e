"""One device for all tests of the sandbox; the embedded AWS is that of all tests."""

import json
from collections.abc import Iterator

import pytest

from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, Device, Fleet
from sandbox.scratch import Scratch
from tests.sandbox.probe import Control, Probe, build

BUCKET = "fedgrass-test"
ACCOUNT = "000000000000"

DEVICE_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/federations/*/models/*",
        },
        {
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/federations/*/updates/*/${{credentials-iot:ThingName}}.safetensors",
        },
    ],
}


def _iot_policy(region: str) -> dict[str, object]:
    arn = f"arn:aws:iot:{region}:{ACCOUNT}"
    thing = "${iot:Connection.Thing.ThingName}"
    topics = [f"$aws/things/{thing}/shadow/*", f"probe/{thing}/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/{thing}*"},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{arn}:topic/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{arn}:topicfilter/{topic}" for topic in topics],
            },
        ],
    }


@pytest.fixture(scope="session")
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        yield made


def make_access(aws: EmbeddedAws) -> Access:
    """What the cloud template makes for devices, as far as these tests need it."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    aws.client("iot").create_policy(policyName="devices", policyDocument=json.dumps(_iot_policy(aws.region)))
    policy = aws.client("iam").create_policy(PolicyName="devices", PolicyDocument=json.dumps(DEVICE_POLICY))
    return Access(thing_group="test-fleet", iot_policy="devices", iam_policy_arn=policy["Policy"]["Arn"])


@pytest.fixture(scope="session")
def access(aws: EmbeddedAws) -> Access:
    return make_access(aws)


@pytest.fixture(scope="session")
def control(scratch: Scratch) -> Iterator[Control]:
    made = Control(scratch.path / "control")
    yield made
    made.close()


@pytest.fixture(scope="session")
def device(
    aws: EmbeddedAws, scratch: Scratch, access: Access, control: Control, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Device]:
    component = build(tmp_path_factory.mktemp("greengrass-build"))
    with Fleet(aws, scratch, scratch.path / "devices", component, access, {"thing-1": control.configuration}) as fleet:
        yield fleet.devices["thing-1"]


@pytest.fixture
def probe(device: Device, control: Control) -> Probe:
    """A probe that has just been started, on a device that has counted no errors."""
    device.power_off()
    control.forget()
    device.power_on()
    device.wait_connected()
    return control.accept()
