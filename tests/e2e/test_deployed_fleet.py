"""`fedgrass deploy fleet` to devices: with nuclei, their certificates, and policies by their group."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch

from cli import initialization
from cli.new_project import new_project
from cli.project import load
from components.inference.infer import tensors
from operations.control import Operations
from operations.deployment import Deployment
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.federated_run import wait_for_clients
from sandbox.fleet import Access, Fleet
from sandbox.nucleus.credentials import ROLE_NAME
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.polling import eventually
from sandbox.scratch import Scratch
from tests.cli.published import RUNTIME, publish, publish_runtime
from tests.cli.running import Ran, fedgrass
from tests.e2e.federations import model_0
from tests.paths import ROOT
from tests.sandbox.greengrass.publishing import SLEEP, Operator

DEPENDENCIES = {RUNTIME: {"VersionRequirement": ">=0.1.0 <0.2.0", "DependencyType": "HARD"}}
DEFAULTS = {"federation": "", "bucket": "", "dataset": "", "accessControl": {}}
TOLD = 'echo "$0 {configuration:/federation} {configuration:/dataset}"; '
LIMIT_S = 180.0


@pytest.fixture(scope="module", autouse=True)
def published_runtime(aws: EmbeddedAws) -> Iterator[None]:
    """The Python environment, in one version, for the tests of this file."""
    publish_runtime(aws, "0.1.9")
    yield
    greengrass = aws.client("greengrassv2")
    (found,) = [
        component["latestVersion"]["arn"]
        for component in greengrass.list_components()["components"]
        if component["componentName"] == RUNTIME
    ]
    greengrass.delete_component(arn=found)


@pytest.fixture(autouse=True)
def operator(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has credentials."""
    for variable, value in aws.environment.items():
        monkeypatch.setenv(variable, value)


def test_a_broken_version_is_rolled_back_on_its_canary_and_comes_to_no_other(
    aws: EmbeddedAws, deployed: Deployment, tmp_path: Path
) -> None:
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


def test_a_device_runs_the_model_of_each_round_that_is_published_and_deployed(
    aws: EmbeddedAws, deployed: Deployment, project: Path, tmp_path: Path
) -> None:
    unique = uuid4().hex[:8]
    name, group, thing = f"slopes-{unique}", f"fleet-{unique}", f"north-{unique}"
    inference, model = f"com.example.Inference{unique}", f"com.fedgrass.Model.slopes-{unique}"
    (inputs := tmp_path / "inputs").mkdir()

    settings = project / "federation.yaml"
    settings.write_text(settings.read_text().replace("slopes", name).replace("rounds: 500", "rounds: 1"))
    (project / "data").rename(tmp_path / "data")  # else it would be a part of the task
    new_project(tmp_path / "new", "blank", name)
    gdk = (tmp_path / "new" / "gdk-config.json").read_text()
    (project / "gdk-config.json").write_text(gdk.replace("com.fedgrass.Client", f"com.example.Client{unique}"))
    shutil.copy(tmp_path / "new" / "recipe.yaml", project)
    client = publish(aws, project, "1.0.0")

    example = tmp_path / "inference"
    shutil.copytree(ROOT / "components" / "inference", example)
    for file, before, after in (
        ("recipe.yaml", "com.fedgrass.Model.digits", model),
        ("gdk-config.json", "com.fedgrass.Inference", inference),
    ):
        (example / file).write_text((example / file).read_text().replace(before, after))
    publish(aws, example, "1.0.0", project)
    config = tmp_path / "devices.yaml"
    config.write_text(f"threads: 1\n{inference}: {{inputs: {inputs}, every_s: 0.2}}\n")

    def given(*words: str) -> Ran:
        ended = fedgrass(*words)
        assert ended.status == 0, (words, ended.error)
        return ended

    def deploy(*words: str) -> Any:
        command = ("deploy", "fleet", str(project), "--thing-group", group, "--role", ROLE_NAME, "--yes", "--json")
        return given(*command, *words).result

    operations = Operations(aws.client, deployed)
    initialization.create(operations, load(project), model_0(load(project)))
    access = Access(
        thing_group=group, iot_policy=deployed.device_iot_policy_name, iam_policy_arn=deployed.device_policy_arn
    )
    things = {thing: {"dataset": str(tmp_path / "data" / "north")}}
    with Scratch() as scratch, Fleet(aws, scratch, scratch.path / "devices", client, access, things) as fleet:
        device = fleet.devices[thing]

        def train(round_number: int) -> None:
            given("start", name)
            eventually(lambda: operations.federations.get(name).round == round_number, f"{round_number}", LIMIT_S)

        def answer(version: str, round_number: int) -> None:
            points = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32)
            np.save(inputs / f"{version}.npy", points)
            output = device.directory / "work" / inference / "outputs" / f"{version}.npy"
            eventually(output.exists, f"the answer of {inference}", LIMIT_S)
            reference = operations.model_of(operations.federations.get(name), round_number)
            weights = tensors(bytearray(operations.models.get(reference)))
            expected = torch.from_numpy(points) @ weights["weight"].T + weights["bias"]
            assert torch.allclose(torch.from_numpy(np.load(output)), expected)
            log = (device.directory / "logs" / f"{inference}.log").read_text()
            assert f"model {version}: round {round_number} of {name}" in log

        deploy()
        wait_for_clients(operations, name, fleet)
        train(1)
        given("publish-model", name, "--yes")
        first = deploy("--component", inference, "--config", str(config))
        assert first["devices"][0]["versions"][model] == "1.0.0"
        answer("1.0.0", 1)

        settings.write_text(settings.read_text().replace("rounds: 1", "rounds: 2"))
        given("update", str(project), "--yes")
        train(2)
        given("publish-model", name, "--yes")
        second = deploy("--component", inference, "--config", str(config))
        assert second["versions"] == [{"component": model, "before": "1.0.0", "after": "1.0.1"}]
        answer("1.0.1", 2)


def last_line(device: Device, name: str) -> str:
    return (device.directory / "logs" / f"{name}.log").read_text().splitlines()[-1]
