"""Small components of shell scripts, published and deployed as an operator does."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sandbox.embedded_aws import ACCOUNT, EmbeddedAws
from sandbox.nucleus.credentials import ROLE_NAME
from sandbox.polling import eventually

LIMIT_S = 120.0
SLEEP = "exec sleep 1000"
OVER = {"SUCCEEDED", "COMPLETED", "FAILED", "CANCELED", "REJECTED", "TIMED_OUT"}


class Operator:
    """Publishes with a bucket of its own, which the token exchange role may read."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.greengrass = aws.client("greengrassv2")
        self.bucket = f"components-{uuid4().hex[:8]}"
        aws.client("s3").create_bucket(Bucket=self.bucket)

    def allow_artifacts(self) -> None:
        statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{self.bucket}/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.aws.client("iam").put_role_policy(RoleName=ROLE_NAME, PolicyName=self.bucket, PolicyDocument=policy)

    def forbid_artifacts(self) -> None:
        self.aws.client("iam").delete_role_policy(RoleName=ROLE_NAME, PolicyName=self.bucket)

    def publish(
        self,
        name: str,
        version: str,
        run: str = SLEEP,
        *,
        artifacts: Mapping[str, bytes] | None = None,
        platform: Mapping[str, str] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
        install: str | None = None,
    ) -> None:
        uris = []
        for file, content in (artifacts or {}).items():
            key = f"{name}/{version}/{file}"
            self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content)
            uris.append({"Uri": f"s3://{self.bucket}/{key}"})
        lifecycle = {"run": {"Script": run}} | ({"install": {"Script": install}} if install else {})
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentDependencies": dependencies or {},
            "ComponentConfiguration": {"DefaultConfiguration": configuration or {}},
            "Manifests": [
                {"Platform": platform or {"os": "linux", "runtime": "*"}, "Artifacts": uris, "Lifecycle": lifecycle}
            ],
        }
        self.greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())

    def deploy(self, target: str, components: Mapping[str, Any], **options: Any) -> str:
        """`components` is name -> its version, or all of its specification."""
        specified = {
            name: {"componentVersion": one} if isinstance(one, str) else one for name, one in components.items()
        }
        made = self.greengrass.create_deployment(targetArn=target, components=specified, **options)
        return str(made["deploymentId"])

    def group(self, *things: str) -> str:
        """A new thing group's ARN."""
        name = f"group-{uuid4().hex[:8]}"
        arn = str(self.aws.client("iot").create_thing_group(thingGroupName=name)["thingGroupArn"])
        for thing in things:
            self.join(arn, thing)
        return arn

    def join(self, group: str, thing: str) -> None:
        self.aws.client("iot").add_thing_to_thing_group(thingGroupName=group.rpartition("/")[2], thingName=thing)

    def leave(self, group: str, thing: str) -> None:
        self.aws.client("iot").remove_thing_from_thing_group(thingGroupName=group.rpartition("/")[2], thingName=thing)

    def effective(self, thing: str, deployment: str) -> dict[str, Any] | None:
        """How a deployment stands on a device, None if the device has not been given it."""
        found = self.greengrass.list_effective_deployments(coreDeviceThingName=thing)["effectiveDeployments"]
        return next((one for one in found if one["deploymentId"] == deployment), None)

    def ended(self, thing: str, deployment: str) -> dict[str, Any]:
        """How a deployment has ended on a device."""
        found: dict[str, Any] = {}

        def is_over() -> bool:
            found.update(self.effective(thing, deployment) or {})
            return found.get("coreDeviceExecutionStatus") in OVER

        eventually(is_over, f"the end of {deployment} on {thing}", LIMIT_S)
        return found

    def succeeds(self, thing: str, deployment: str) -> None:
        ended = self.ended(thing, deployment)
        assert ended["coreDeviceExecutionStatus"] in {"SUCCEEDED", "COMPLETED"}, ended

    def installed(self, thing: str) -> dict[str, str]:
        found = self.greengrass.list_installed_components(coreDeviceThingName=thing)["installedComponents"]
        return {one["componentName"]: one["componentVersion"] for one in found}


def thing_arn(thing: str) -> str:
    return f"arn:aws:iot:us-east-1:{ACCOUNT}:thing/{thing}"
