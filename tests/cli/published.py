"""Components that are published in the embedded AWS as `gdk component publish` does it."""

import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from components import build, gdk_config
from sandbox.embedded_aws import EmbeddedAws
from tests.paths import ROOT

BUCKET = "fedgrass-components-us-east-1-000000000000"
RUNTIME = "com.fedgrass.Runtime"


@cache
def _built(root: Path, task: Path | None) -> tuple[str, dict[str, bytes]]:
    with TemporaryDirectory() as output:
        built = build.build(root, Path(output), task)
        return built.recipe.read_text(), {file.name: file.read_bytes() for file in built.artifacts.iterdir()}


def publish(aws: EmbeddedAws, project: Path, version: str, task: Path | None = None) -> str:
    """The component of a folder's gdk-config.json in a version, with the task that lies there, or with another; gives
    its name."""
    return _publish(aws, gdk_config.read_config(project).name, _built(project, task or project), version)


def publish_runtime(aws: EmbeddedAws, version: str) -> None:
    """The Python environment in a version."""
    _publish(aws, RUNTIME, _built(ROOT / "components" / "runtime", None), version)


def _publish(aws: EmbeddedAws, name: str, built: tuple[str, dict[str, bytes]], version: str) -> str:
    recipe, artifacts = built
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for file, content in artifacts.items():
        s3.put_object(Bucket=BUCKET, Key=f"{name}/{version}/{file}", Body=content)
    recipe = re.sub(r"^ComponentVersion: .*$", f"ComponentVersion: {json.dumps(version)}", recipe, flags=re.MULTILINE)
    recipe = recipe.replace("s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/", f"s3://{BUCKET}/{name}/{version}/")
    aws.client("greengrassv2").create_component_version(inlineRecipe=recipe.encode())
    return name
