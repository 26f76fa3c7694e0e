"""Two devices for all tests of the sandbox, with one nucleus each; the embedded AWS is that of all tests."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, Fleet
from sandbox.nucleus.components import INTERPOLATE
from sandbox.nucleus.personality import CLASSIC, LITE, with_line_waits
from sandbox.nucleus.reconnect_delays import LineWaits
from sandbox.scratch import Scratch
from tests.sandbox.probe import Control, Probe, build

BUCKET = "fedgrass-test"
ACCOUNT = "000000000000"

LITE_ACCESS_CONTROL = {
    "aws.greengrass.ipc.mqttproxy": {
        "deployed": {
            "operations": ["*"],
            "resources": [
                "$aws/things/thing-2/shadow/name/fedgrass-*",
                "probe/thing-2/lite/#",
                "fedgrass/*/clients/thing-2/hello",
            ],
        }
    }
}
"""With the thing's name, as nucleus lite fills in none."""

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
            "Resource": f"arn:aws:s3:::{BUCKET}/updates/*/${{credentials-iot:ThingName}}.safetensors",
        },
    ],
}


QUICK_LITE = with_line_waits(LITE, LineWaits(notice_s=0.0, first_retry_s=0.2, max_retry_s=5.0))
"""It tries to connect again in less than the 5 s to 5 min that it waits on a device."""


def _iot_policy(region: str) -> dict[str, object]:
    arn = f"arn:aws:iot:{region}:{ACCOUNT}"
    thing = "${iot:Connection.Thing.ThingName}"
    topics = [f"$aws/things/{thing}/shadow/*", f"probe/{thing}/*", f"fedgrass/*/clients/{thing}/hello"]
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
def lite_control(scratch: Scratch) -> Iterator[Control]:
    made = Control(scratch.path / "lite-control")
    yield made
    made.close()


@pytest.fixture(scope="session")
def fleet(
    aws: EmbeddedAws,
    scratch: Scratch,
    access: Access,
    control: Control,
    lite_control: Control,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    component = build(tmp_path_factory.mktemp("greengrass-build"))
    configurations: dict[str, dict[str, Any]] = {
        "thing-1": control.configuration,
        "thing-2": lite_control.configuration | {"accessControl": LITE_ACCESS_CONTROL, "number": 7},
    }
    with Fleet(
        aws, scratch, scratch.path / "devices", component, access, configurations, nuclei=(CLASSIC, QUICK_LITE)
    ) as fleet:
        fleet.devices["thing-1"].configure({INTERPOLATE: True}, CLASSIC.component)
        fleet.devices["thing-1"].deploy(component)
        yield fleet


@pytest.fixture(scope="session")
def device(fleet: Fleet) -> Device:
    """A device with the classic nucleus."""
    return fleet.devices["thing-1"]


@pytest.fixture(scope="session")
def lite_device(fleet: Fleet) -> Device:
    """A device with nucleus lite."""
    return fleet.devices["thing-2"]


@pytest.fixture
def probe(device: Device, control: Control) -> Probe:
    """A probe that has just been started, on a device that has counted no errors."""
    return _start(device, control)


@pytest.fixture
def lite_probe(lite_device: Device, lite_control: Control) -> Probe:
    """The same on the device with nucleus lite."""
    return _start(lite_device, lite_control)


def _start(device: Device, control: Control) -> Probe:
    device.power_off()
    control.forget()
    device.power_on()
    device.wait_connected()
    return control.accept()
