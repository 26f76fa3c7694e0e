"""The Greengrass Development Kit's own command against the sandbox; its calls are tested without it as well."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox.embedded_aws import ACCOUNT, EmbeddedAws
from tests.paths import ROOT

BUCKET = "published-by-gdk"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of the checkout the component is built from."""
    for name in ("gdk-config.json", "recipe.yaml", "recipes", "components", "fedgrass", "protocol"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("greengrass-build", "__pycache__"))
        else:
            shutil.copy(source, tmp_path / name, follow_symlinks=False)
    return tmp_path


@pytest.mark.skipif(shutil.which("gdk") is None, reason="the Greengrass Development Kit (gdk) is not installed")
def test_gdk_builds_and_publishes_the_component(aws: EmbeddedAws, checkout: Path) -> None:
    def gdk(*words: str) -> None:
        run = subprocess.run(
            ["gdk", "component", *words], cwd=checkout, env=os.environ | aws.environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr

    gdk("build")
    gdk("publish", "--bucket", BUCKET, "--region", aws.region)
    ((name, configured),) = json.loads((checkout / "gdk-config.json").read_bytes())["component"].items()
    greengrass = aws.client("greengrassv2")
    component = f"arn:aws:greengrass:{aws.region}:{ACCOUNT}:components:{name}"
    (version,) = greengrass.list_component_versions(arn=component)["componentVersions"]
    assert configured["version"] in {version["componentVersion"], "NEXT_PATCH"}
    recipe = json.loads(greengrass.get_component(arn=version["arn"], recipeOutputFormat="JSON")["recipe"])
    assert [manifest["Platform"]["architecture"] for manifest in recipe["Manifests"]] == ["aarch64", "amd64"]
    for artifact in recipe["Manifests"][0]["Artifacts"]:
        key = f"{name}/{version['componentVersion']}/{artifact['Uri'].rpartition('/')[2]}"
        assert artifact["Uri"] == f"s3://{BUCKET}/{key}"
        body = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert artifact["Digest"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    greengrass.delete_component(arn=version["arn"])
