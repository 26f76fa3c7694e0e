"""The documents' lines of GDK, with GDK itself where it is installed, else with what it does: its build command, and
the calls of its publish."""

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli.new_project import new_project
from components.gdk_config import read_config
from operations import component_versions
from sandbox import publishing
from sandbox.embedded_aws import EmbeddedAws
from tests.docs.markdown import DOCUMENTS, prose, spans
from tests.docs.typed import typed
from tests.paths import ROOT

LINE = re.compile(r"(?:\(cd (?P<folder>\S+) && )?(?P<commands>gdk component .*?)\)?")


def lines() -> list[str]:
    """Those of the blocks, and those in sentences, each once."""
    mentioned = [span for document in DOCUMENTS for span in spans(prose(document))]
    return list(dict.fromkeys(line for line in (*typed(), *mentioned) if LINE.fullmatch(line)))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What components are built from, with the projects of the documents; under names that no other test has."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("components", "fedgrass", "protocol", "recipes"):
        ignored = shutil.ignore_patterns("greengrass-build", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("gdk-config.json", "recipe.yaml"):
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for name in ("my-cars", "my-federation"):
        new_project(folder / name, "blank", None)
    for path in (folder, folder / "components" / "runtime", folder / "my-cars", folder / "my-federation"):
        config = path / "gdk-config.json"
        text = config.read_text().replace(str(ROOT), str(folder))
        name = read_config(path).name
        config.write_text(text.replace(f'"{name}"', f'"com.example.{path.name}.{uuid4().hex[:8]}"'))
    return folder


def give(line: str, checkout: Path, aws: EmbeddedAws) -> None:
    """Give it to a shell if there is GDK, else do what GDK does."""
    found = LINE.fullmatch(line)
    assert found
    environment = os.environ | aws.environment | {"PYTHONPATH": str(ROOT)}
    folder = checkout / (found["folder"] or "")
    if shutil.which("gdk"):
        ran = subprocess.run(["bash", "-c", line], cwd=checkout, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return
    config = json.loads((folder / "gdk-config.json").read_text())
    ((name, component),) = config["component"].items()
    output = folder / "greengrass-build"
    for command in found["commands"].split(" && "):
        verb = shlex.split(command)[2]
        if verb == "build" or not output.exists():
            build = [sys.executable, *component["build"]["custom_build_command"][1:]]
            subprocess.run(build, cwd=folder, env=environment, check=True, capture_output=True)
        if verb == "publish":
            publishing.publish(
                aws.client, next((output / "recipes").iterdir()), output / "artifacts" / name / component["version"]
            )


def recipes(aws: EmbeddedAws, name: str) -> list[Any]:
    """Those of the component's versions, oldest first."""
    greengrass = aws.client("greengrassv2")
    arn = component_versions.component_arn(greengrass, aws.client("sts"), name)
    versions = component_versions.published(greengrass, arn)
    return [
        json.loads(greengrass.get_component(arn=f"{arn}:versions:{version}", recipeOutputFormat="JSON")["recipe"])
        for version in reversed(versions)
    ]


@pytest.mark.parametrize("line", lines())
def test_a_line_publishes_its_component(line: str, checkout: Path, aws: EmbeddedAws) -> None:
    found = LINE.fullmatch(line)
    assert found
    name = read_config(checkout / (found["folder"] or "")).name
    before = recipes(aws, name)
    give(line.replace("eu-west-1", aws.region), checkout, aws)  # the embedded AWS has one Region
    after = recipes(aws, name)
    assert len(after) == len(before) + line.count("publish")
    for recipe in after[len(before) :]:
        assert [manifest["Platform"]["architecture"] for manifest in recipe["Manifests"]] == ["aarch64", "amd64"]
        for artifact in recipe["Manifests"][0]["Artifacts"]:
            bucket, _, key = artifact["Uri"].removeprefix("s3://").partition("/")
            body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            assert artifact["Digest"] == base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_a_build_lists_what_goes_to_devices(checkout: Path) -> None:
    for line in (line for line in typed() if line.startswith("python3 components/build.py ")):
        ran = subprocess.run(
            [sys.executable, *shlex.split(line)[1:]], cwd=checkout, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert "task.py" in ran.stdout
