"""A trained model on devices: published, deployed, run by com.fedgrass.Inference, and replaced by a newer one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from components.build import build
from components.client.trainer.model import state_dict
from components.client.trainer.task.loading import load_task
from operations import model_component
from operations.model_component import Metadata
from sandbox import publishing
from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, Fleet
from sandbox.nucleus.personality import CLASSIC
from sandbox.polling import eventually
from sandbox.scratch import Scratch
from tests.paths import ROOT
from tests.sandbox.conftest import QUICK_LITE
from tests.sandbox.greengrass.publishing import LIMIT_S, Operator

INFERENCE, MODEL = "com.fedgrass.Inference", "com.fedgrass.Model.digits"
THINGS = ("served-classic", "served-lite")


@pytest.fixture(scope="module")
def fleet(aws: EmbeddedAws, access: Access) -> Iterator[Fleet]:
    with Scratch() as scratch:
        things: dict[str, dict[str, str]] = {thing: {} for thing in THINGS}
        directory = scratch.path / "devices"
        with Fleet(aws, scratch, directory, INFERENCE, access, things, nuclei=(CLASSIC, QUICK_LITE)) as fleet:
            yield fleet


@pytest.fixture(scope="module")
def operator(aws: EmbeddedAws, fleet: Fleet) -> Operator:
    made = Operator(aws)
    made.allow_artifacts()
    publishing.let_devices_read(aws.client)
    return made


def publish_model(operator: Operator, version: str, number: int) -> None:
    """A model of the digits' network that takes every picture for this digit."""
    network = load_task(ROOT / "components" / "tasks" / "mnist").build_model()
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
        list(network.parameters())[-1][number] = 1.0
    model = state_dict.dump_model(network, "digits", number)
    about = Metadata(federation="digits", life="", round=number, metrics={}, model=model_component.file_of(model))
    files = model_component.artifacts(about, model, None)
    uris = []
    for name, content in files.items():
        key = f"{model_component.folder(MODEL, files)}/{name}"
        operator.aws.client("s3").put_object(Bucket=operator.bucket, Key=key, Body=content)
        uris.append(f"s3://{operator.bucket}/{key}")
    operator.greengrass.create_component_version(inlineRecipe=model_component.recipe(MODEL, version, about, uris))


def answer(device: Device, inputs: Path, name: str) -> int:
    """The digit that the device sees in a picture."""
    np.save(inputs / f"{name}.npy", np.zeros((1, 1, 28, 28), np.float32))
    output = device.directory / "work" / INFERENCE / "outputs" / f"{name}.npy"
    eventually(output.exists, f"the answer of {device.thing} to {name}", LIMIT_S)
    return int(np.load(output).argmax())


def test_a_published_model_is_served_by_devices_of_both_nuclei_and_a_newer_one_takes_its_place(
    operator: Operator, fleet: Fleet, tmp_path: Path
) -> None:
    publish_model(operator, "1.0.0", 3)
    for component in ("runtime", "inference"):
        built = build(ROOT / "components" / component, tmp_path / component)
        published = publishing.publish(operator.aws.client, built.recipe, built.artifacts)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    group = operator.group(*THINGS)
    configuration = {"merge": json.dumps({"inputs": str(inputs), "every_s": 0.2})}
    inference = {"componentVersion": published.version, "configurationUpdate": configuration}

    def deploy(model: str) -> None:
        deployment = operator.deploy(group, {INFERENCE: inference, MODEL: model})
        for thing in THINGS:
            operator.succeeds(thing, deployment)

    deploy("1.0.0")
    pids: dict[str, Any] = {}
    for thing in THINGS:
        device = fleet.devices[thing]
        assert answer(device, inputs, f"{thing}-first") == 3
        pids[thing] = device.pid
        assert operator.installed(thing)[MODEL] == "1.0.0"
        about = device.directory / "packages" / "artifacts" / MODEL / "1.0.0" / model_component.METADATA
        assert msgspec.json.decode(about.read_bytes(), type=Metadata).round == 3

    publish_model(operator, "1.0.1", 7)
    deploy("1.0.1")
    for thing in THINGS:
        device = fleet.devices[thing]
        log = device.directory / "logs" / f"{INFERENCE}.log"
        eventually(lambda log=log: "model 1.0.1: round 7 of digits" in log.read_text(), "the newer model", LIMIT_S)  # type: ignore[misc]
        assert answer(device, inputs, f"{thing}-second") == 7
        assert device.pid == pids[thing], "a new model needs no restart"
