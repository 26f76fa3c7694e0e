"""Publishing built components to the embedded AWS as `gdk component publish` does, and deploying them to a group."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import yaml

from operations import component_versions
from sandbox.nucleus.credentials import ROLE_NAME

BUCKET = "fedgrass-sandbox-components"
_NEXT_PATCH = "NEXT_PATCH"
_PARALLEL = 4

Client = Callable[[str], Any]
"""Gives an administrator's client of a service by its boto3 name."""


class Published(msgspec.Struct, frozen=True):
    """A version of a component that can be deployed."""

    name: str
    version: str


def let_devices_read(client: Client) -> None:
    """Have the role that devices get credentials of read artifacts."""
    reading = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [reading]})
    client("iam").put_role_policy(RoleName=ROLE_NAME, PolicyName=BUCKET, PolicyDocument=document)


def publish(client: Client, recipe: Path, artifacts: Path) -> Published:
    """Make a component version of what a build has left: its recipe, and the directory of its artifacts. The bucket is
    made if there is none."""
    client("s3").create_bucket(Bucket=BUCKET)
    document: dict[str, Any] = yaml.safe_load(recipe.read_text())
    name = str(document["ComponentName"])
    version = str(document["ComponentVersion"])
    if version == _NEXT_PATCH:
        greengrass = client("greengrassv2")
        present = component_versions.published(
            greengrass, component_versions.component_arn(greengrass, client("sts"), name)
        )
        version = document["ComponentVersion"] = component_versions.next_patch(present)
    prefix, files = f"{name}/{version}", {path.name: path for path in artifacts.iterdir()}
    for manifest in document.get("Manifests", ()):
        for artifact in manifest.get("Artifacts", ()):
            file = artifact["Uri"].rpartition("/")[2]
            if file in files:
                artifact["Uri"] = f"s3://{BUCKET}/{prefix}/{file}"

    def upload(file: str) -> None:
        client("s3").upload_file(str(files[file]), BUCKET, f"{prefix}/{file}")

    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="publish") as pool:
        list(pool.map(upload, files))
    client("greengrassv2").create_component_version(inlineRecipe=json.dumps(document).encode())
    return Published(name, version)


def deploy(client: Client, group: str, components: Mapping[Published, Mapping[str, Any]]) -> str:
    """Deploy components to a thing group, each with what is merged into its configuration; the deployment's id."""
    target = client("iot").describe_thing_group(thingGroupName=group)["thingGroupArn"]
    specified = {
        component.name: {
            "componentVersion": component.version,
            "configurationUpdate": {"merge": json.dumps(dict(configuration))},
        }
        for component, configuration in components.items()
    }
    made = client("greengrassv2").create_deployment(targetArn=target, components=specified)
    return str(made["deploymentId"])
