"""The GDK CLI publishes this checkout's components to the embedded AWS, and the build knows what is published."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from operations import component_versions
from sandbox import publishing
from sandbox.embedded_aws import EmbeddedAws
from tests.paths import ROOT

needs_gdk = pytest.mark.skipif(shutil.which("gdk") is None, reason="the GDK CLI is not on PATH")
FOLDERS = {"client": ".", "runtime": "components/runtime", "inference": "components/inference"}


@pytest.fixture(params=FOLDERS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a component in a copy of what is built, under a name that no other test has."""
    for name in ("components", "fedgrass", "protocol", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("greengrass-build"))
    for name in ("gdk-config.json", "recipe.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name, follow_symlinks=False)
    folder = tmp_path / FOLDERS[request.param]
    config = json.loads((folder / "gdk-config.json").read_text())
    (component,) = config["component"].values()
    component["publish"]["bucket"] = f"gdk-{uuid4().hex[:8]}"
    name = f"com.example.{request.param}.{uuid4().hex[:8]}"
    (folder / "gdk-config.json").write_text(json.dumps(config | {"component": {name: component}}))
    return folder


def name_of(project: Path) -> str:
    (name,) = json.loads((project / "gdk-config.json").read_text())["component"]
    return str(name)


def set_version(project: Path, version: str) -> None:
    config = json.loads((project / "gdk-config.json").read_text())
    (component,) = config["component"].values()
    component["version"] = version
    (project / "gdk-config.json").write_text(json.dumps(config))


def run(project: Path, aws: EmbeddedAws, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | aws.environment | {"PYTHONPATH": str(ROOT)}  # for the build to ask AWS by
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def recipe_of(aws: EmbeddedAws, name: str, version: str) -> Any:
    greengrass = aws.client("greengrassv2")
    arn = component_versions.component_arn(greengrass, aws.client("sts"), name)
    answer = greengrass.get_component(arn=f"{arn}:versions:{version}", recipeOutputFormat="JSON")
    return json.loads(answer["recipe"])


def is_whole(aws: EmbeddedAws, recipe: Any) -> bool:
    """Whether each artifact lies where the recipe says."""
    for manifest in recipe["Manifests"]:
        for artifact in manifest["Artifacts"]:
            bucket, _, key = artifact["Uri"].removeprefix("s3://").partition("/")
            aws.client("s3").head_object(Bucket=bucket, Key=key)
    return True


@needs_gdk
def test_gdk_builds_and_publishes_one_version_after_the_other(aws: EmbeddedAws, project: Path) -> None:
    name = name_of(project)
    for version in ("1.0.0", "1.0.1"):
        for command in ("build", "publish"):
            ran = run(project, aws, "gdk", "component", command)
            assert ran.returncode == 0, ran.stdout + ran.stderr
        recipe = recipe_of(aws, name, version)
        assert (recipe["ComponentName"], recipe["ComponentVersion"]) == (name, version)
        assert is_whole(aws, recipe)


@needs_gdk
def test_gdk_publishes_no_version_twice(aws: EmbeddedAws, project: Path) -> None:
    set_version(project, "2.0.0")
    assert run(project, aws, "gdk", "component", "publish").returncode == 0  # it builds first
    before = recipe_of(aws, name_of(project), "2.0.0")
    again = run(project, aws, "gdk", "component", "build")
    assert again.returncode != 0
    assert "version '2.0.0' of" in again.stdout + again.stderr
    assert run(project, aws, "gdk", "component", "publish").returncode != 0
    assert recipe_of(aws, name_of(project), "2.0.0") == before
    assert is_whole(aws, before)


def test_what_a_build_leaves_is_published_as_gdk_does_and_known_to_the_next_build(
    aws: EmbeddedAws, project: Path
) -> None:
    root = next(parent for parent in (project, *project.parents) if (parent / "components" / "build.py").is_file())
    build = (sys.executable, str(root / "components" / "build.py"))
    set_version(project, "3.0.0")
    first = run(project, aws, *build)
    assert first.returncode == 0, first.stderr
    output = project / "greengrass-build"
    (recipe,) = (output / "recipes").iterdir()
    published = publishing.publish(aws.client, recipe, output / "artifacts" / name_of(project) / "3.0.0")
    assert (published.name, published.version) == (name_of(project), "3.0.0")
    assert is_whole(aws, recipe_of(aws, published.name, published.version))
    again = run(project, aws, *build)
    assert again.returncode == 1
    assert "version '3.0.0' of" in again.stderr
