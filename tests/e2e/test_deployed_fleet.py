"""`fedgrass deploy fleet` to devices: with nuclei, their certificates, and policies by their group."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli.new_project import new_project
from operations.deployment import Deployment
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, Fleet
from sandbox.nucleus.credentials import ROLE_NAME
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.scratch import Scratch
from tests.cli.published import RUNTIME, publish_runtime
from tests.cli.running import Ran, fedgrass
from tests.sandbox.greengrass.publishing import SLEEP, Operator

DEPENDENCIES = {RUNTIME: {"VersionRequirement": ">=0.1.0 <0.2.0", "DependencyType": "HARD"}}
DEFAULTS = {"federation": "", "bucket": "", "dataset": "", "accessControl": {}}
TOLD = 'echo "$0 {configuration:/federation} {configuration:/dataset}"; '


def test_a_broken_version_is_rolled_back_on_its_canary_and_comes_to_no_other(
    aws: EmbeddedAws, deployed: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in aws.environment.items():
        monkeypatch.setenv(variable, value)
    unique = uuid4().hex[:8]
    name, group = f"com.example.Client{unique}", f"fleet-{unique}"
    project, config = tmp_path / "project", tmp_path / "devices.yaml"
    new_project(project, "blank", f"f-{unique}")
    gdk = project / "gdk-config.json"
    gdk.write_text(gdk.read_text().replace("com.fedgrass.Client", name))
    config.write_text("dataset: /data\n")
    operator = Operator(aws)

    def publish(version: str, run: str) -> None:
        operator.publish(
            name,
            version,
            run,
            artifacts={"hello.txt": b"hello"},  # it takes the role's right to read the bucket
            configuration=DEFAULTS,
            dependencies=DEPENDENCIES,
        )

    def deploy(*words: str) -> Ran:
        command = ("deploy", "fleet", str(project), "--thing-group", group, "--role", ROLE_NAME, "--yes", "--json")
        return fedgrass(*command, *words)

    publish("1.0.0", TOLD + SLEEP)
    publish_runtime(aws, "0.1.9")
    connect = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": connect})
    aws.client("iot").create_policy(policyName=f"connect-{unique}", policyDocument=document)
    access = Access(thing_group=group, iot_policy=f"connect-{unique}", iam_policy_arn=deployed.device_policy_arn)
    things: dict[str, dict[str, Any]] = {f"{letter}-{unique}": {} for letter in "abc"}
    with Scratch() as scratch, Fleet(aws, scratch, scratch.path / "devices", name, access, things) as fleet:
        devices = list(fleet.devices.values())

        def versions() -> list[str]:
            assert {device.state_of(name) for device in devices} == {ComponentState.RUNNING}
            return [operator.installed(device.thing)[name] for device in devices]

        first = deploy("--config", str(config))
        assert first.status == 0, first.error
        assert versions() == ["1.0.0"] * 3
        assert last_line(devices[0], name).endswith(f"f-{unique} /data")

        publish("1.1.0", "exit 3")
        broken = deploy("--canary", "1")
        assert (broken.status, broken.envelope["error"]["code"]) == (1, "fleet_failed")
        assert f"{devices[0].thing}: a component does not start (FAILED_ROLLBACK_COMPLETE: " in broken.error
        assert versions() == ["1.0.0"] * 3
        assert operator.effective(devices[1].thing, broken.result["canary_deployment_id"]) is None

        publish("1.1.1", TOLD + SLEEP)
        mended = deploy("--canary", "1", "--rate", "1000/minute")
        assert mended.status == 0, mended.error
        assert versions() == ["1.1.1"] * 3
        assert last_line(devices[2], name).endswith(f"f-{unique} /data")

        back = deploy("--client-version", "1.0.0")
        assert back.status == 0, back.error
        assert versions() == ["1.0.0"] * 3


def last_line(device: Device, name: str) -> str:
    return (device.directory / "logs" / f"{name}.log").read_text().splitlines()[-1]
