"""The service as boto3 speaks it, through the embedded AWS, which checks signatures and permissions."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from sandbox.embedded_aws import ACCOUNT, EmbeddedAws
from sandbox.greengrass.core_devices import CoreDevice, InstalledComponent

ARN = f"arn:aws:greengrass:us-east-1:{ACCOUNT}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def greengrass(aws: EmbeddedAws) -> Any:
    return aws.client("greengrassv2")


@pytest.fixture
def name() -> str:
    return f"com.example.C{uuid4().hex[:8]}"


@pytest.fixture
def group(aws: EmbeddedAws) -> str:
    made = aws.client("iot").create_thing_group(thingGroupName=f"group-{uuid4().hex[:8]}")
    return str(made["thingGroupArn"])


@pytest.fixture
def bucket(aws: EmbeddedAws) -> Iterator[str]:
    name = f"artifacts-{uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=name)
    yield name


def recipe(name: str, version: str = "1.0.0", **changes: Any) -> dict[str, Any]:
    manifest = {"Name": "Linux", "Platform": {"os": "linux"}, "Lifecycle": {"run": "sleep 1000"}}
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentPublisher": "me",
        "Manifests": [manifest],
    } | changes


def with_artifact(name: str, uri: str) -> dict[str, Any]:
    made = recipe(name)
    made["Manifests"][0]["Artifacts"] = [{"Uri": uri}]
    return made


def publish(greengrass: Any, document: Mapping[str, Any], **options: Any) -> Any:
    return greengrass.create_component_version(inlineRecipe=json.dumps(document).encode(), **options)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_component_is_published_described_listed_and_removed(greengrass: Any, name: str) -> None:
    made = publish(greengrass, recipe(name), tags={"owner": "me"})
    arn = f"{ARN}:components:{name}:versions:1.0.0"
    assert (made["arn"], made["componentName"], made["componentVersion"]) == (arn, name, "1.0.0")
    assert made["status"]["componentState"] == "REQUESTED"
    publish(greengrass, recipe(name, "1.10.0"))
    publish(greengrass, recipe(name, "1.9.0"))

    described = greengrass.describe_component(arn=arn)
    assert (described["status"]["componentState"], described["tags"]) == ("DEPLOYABLE", {"owner": "me"})
    assert described["platforms"] == [{"name": "Linux", "attributes": {"os": "linux"}}]
    versions = greengrass.list_component_versions(arn=f"{ARN}:components:{name}")["componentVersions"]
    assert [version["componentVersion"] for version in versions] == ["1.10.0", "1.9.0", "1.0.0"]
    listed = [one for one in greengrass.list_components()["components"] if one["componentName"] == name]
    assert [one["latestVersion"]["componentVersion"] for one in listed] == ["1.10.0"]

    greengrass.delete_component(arn=arn)
    with pytest.raises(ClientError) as error:
        greengrass.describe_component(arn=arn)
    assert refusal(error) == ("ResourceNotFoundException", 404)


def test_gdk_finds_no_version_of_what_was_never_published(greengrass: Any, name: str) -> None:
    assert greengrass.list_component_versions(arn=f"{ARN}:components:{name}")["componentVersions"] == []


@pytest.mark.parametrize("form", ["YAML", "JSON"])
def test_a_recipe_comes_back_with_the_digests_of_its_artifacts(
    aws: EmbeddedAws, greengrass: Any, name: str, bucket: str, form: str
) -> None:
    aws.client("s3").put_object(Bucket=bucket, Key="a/client.zip", Body=b"the artifact")
    document = with_artifact(name, f"s3://{bucket}/a/client.zip")
    text = yaml.safe_dump(document).replace("'2020-01-25'", "2020-01-25") if form == "YAML" else json.dumps(document)
    greengrass.create_component_version(inlineRecipe=text.encode())
    got = greengrass.get_component(arn=f"{ARN}:components:{name}:versions:1.0.0", recipeOutputFormat=form)
    assert got["recipeOutputFormat"] == form
    (artifact,) = yaml.safe_load(got["recipe"])["Manifests"][0]["Artifacts"]
    digest = base64.b64encode(hashlib.sha256(b"the artifact").digest()).decode()
    assert artifact == {"Uri": f"s3://{bucket}/a/client.zip", "Digest": digest, "Algorithm": "SHA-256"}


def test_a_missing_artifact_is_an_error_that_names_it(greengrass: Any, name: str, bucket: str) -> None:
    with pytest.raises(ClientError, match=f"s3://{bucket}/gone = Specified artifact resource cannot") as error:
        publish(greengrass, with_artifact(name, f"s3://{bucket}/gone"))
    assert refusal(error) == ("ValidationException", 400)
    with pytest.raises(ClientError, match="cannot be accessed"):
        publish(greengrass, with_artifact(name, "s3://no-such-bucket-anywhere/gone"))


def test_what_gdk_calls_to_publish_is_there(aws: EmbeddedAws, greengrass: Any, name: str) -> None:
    """As GDK 1.6.2 does, with NEXT_PATCH: it looks for the highest version, makes the bucket if there is none, and
    uploads what the build has left before it makes the version."""
    account = aws.client("sts").get_caller_identity()["Account"]
    component = f"arn:aws:greengrass:{aws.region}:{account}:components:{name}"
    s3, bucket = aws.client("s3"), f"gdk-{uuid4().hex[:8]}"
    for version in ("1.0.0", "1.0.1"):
        found = greengrass.list_component_versions(arn=component)["componentVersions"]
        assert [one["componentVersion"] for one in found] == ([] if version == "1.0.0" else ["1.0.0"])
        if not found:
            with pytest.raises(ClientError, match="NoSuchBucket"):
                s3.get_bucket_location(Bucket=bucket)
            s3.create_bucket(Bucket=bucket)
        assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
        s3.put_object(Bucket=bucket, Key=f"{name}/{version}/client.zip", Body=version.encode())
        document = with_artifact(name, f"s3://{bucket}/{name}/{version}/client.zip") | {"ComponentVersion": version}
        made = greengrass.create_component_version(inlineRecipe=yaml.safe_dump(document))
        assert made["arn"] == f"{component}:versions:{version}"


def test_a_version_is_made_once(greengrass: Any, name: str) -> None:
    publish(greengrass, recipe(name))
    with pytest.raises(ClientError, match=r"already exists with state: \[DEPLOYABLE\]") as error:
        publish(greengrass, recipe(name))
    assert refusal(error) == ("ConflictException", 409)
    assert {**error.value.response}["resourceType"] == "component"


def test_a_call_that_is_repeated_by_its_token_is_done_once(greengrass: Any, name: str) -> None:
    first = publish(greengrass, recipe(name), clientToken="token-1-" + name[-8:])
    assert publish(greengrass, recipe(name), clientToken="token-1-" + name[-8:])["arn"] == first["arn"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RecipeFormatVersion": "2019-01-01"}, "RecipeFormatVersion"),
        ({"ComponentName": "com example"}, "ComponentName"),
        ({"ComponentName": "aws.greengrass.Mine"}, "reserved"),
        ({"ComponentVersion": "1.0"}, "semantic version"),
        ({"ComponentVersion": "NEXT_PATCH"}, "semantic version"),
        ({"Manifests": []}, "neither Manifests nor a Lifecycle"),
        ({"Manifests": [{"Platform": {"os": "linux"}}]}, "no Lifecycle"),
        ({"Manifests": {"Platform": {}}}, "Manifests"),
        ({"ComponentDependencies": {"a": {"VersionRequirement": ">>1"}}}, ">>1"),
        ({"ComponentDependencies": {"a": {"VersionRequirement": "1.0.0", "DependencyType": "WEAK"}}}, "WEAK"),
        ({"Manifests": [{"Lifecycle": {"run": "x"}, "Artifacts": [{"Uri": "client.zip"}]}]}, "client.zip"),
        ({"ComponentDescription": "x" * 16_000}, "16000"),
    ],
)
def test_a_wrong_recipe_is_refused(greengrass: Any, name: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as error:
        publish(greengrass, recipe(name) | changes)
    assert refusal(error) == ("ValidationException", 400)


@pytest.mark.parametrize("text", [b"a: [", b"just a text", b"\xff\xfe\x00", b""])
def test_what_is_no_recipe_is_refused(greengrass: Any, text: bytes) -> None:
    with pytest.raises(ClientError) as error:
        greengrass.create_component_version(inlineRecipe=text)
    assert refusal(error) == ("ValidationException", 400)


def test_components_of_aws_are_public_and_stay(greengrass: Any) -> None:
    public = greengrass.list_components(scope="PUBLIC")["components"]
    assert "aws.greengrass.TokenExchangeService" in {one["componentName"] for one in public}
    with pytest.raises(ClientError) as error:
        greengrass.delete_component(arn=public[0]["latestVersion"]["arn"])
    assert refusal(error) == ("AccessDeniedException", 403)


def test_lists_come_in_pages(greengrass: Any, name: str) -> None:
    for patch in range(5):
        publish(greengrass, recipe(name, f"1.0.{patch}"))
    pages = greengrass.get_paginator("list_component_versions").paginate(
        arn=f"{ARN}:components:{name}", PaginationConfig={"PageSize": 2}
    )
    found = [[version["componentVersion"] for version in page["componentVersions"]] for page in pages]
    assert found == [["1.0.4", "1.0.3"], ["1.0.2", "1.0.1"], ["1.0.0"]]


def test_candidates_are_resolved_to_the_highest_version_that_all_requirements_allow(greengrass: Any, name: str) -> None:
    for version in ("1.0.0", "1.2.0", "2.0.0"):
        publish(greengrass, recipe(name, version))
    wanted = {"componentName": name, "versionRequirements": {"group-a": ">=1.0.0", "com.example.B": "<2.0.0"}}
    answer = greengrass.resolve_component_candidates(platform={}, componentCandidates=[wanted])
    (resolved,) = answer["resolvedComponentVersions"]
    assert resolved["componentVersion"] == "1.2.0"
    assert json.loads(resolved["recipe"])["ComponentVersion"] == "1.2.0"
    wanted["versionRequirements"] = {"group-a": ">=3.0.0"}
    with pytest.raises(ClientError, match=r">=3\.0\.0 \(group-a\)") as error:
        greengrass.resolve_component_candidates(platform={}, componentCandidates=[wanted])
    assert refusal(error) == ("ResourceNotFoundException", 404)


def deploy(greengrass: Any, group: str, name: str, version: str = "1.0.0", **options: Any) -> Any:
    specification = {"componentVersion": version} | options.pop("specification", {})
    return greengrass.create_deployment(targetArn=group, components={name: specification}, **options)


def test_a_deployment_replaces_the_latest_of_its_target(greengrass: Any, name: str, group: str) -> None:
    publish(greengrass, recipe(name))
    first = deploy(greengrass, group, name, deploymentName="first", tags={"a": "b"})
    got = greengrass.get_deployment(deploymentId=first["deploymentId"])
    assert (got["deploymentStatus"], got["isLatestForTarget"], got["revisionId"]) == ("ACTIVE", True, "1")
    assert (got["deploymentName"], got["tags"], got["components"]) == (
        "first",
        {"a": "b"},
        {name: {"componentVersion": "1.0.0"}},
    )
    assert got["deploymentPolicies"]["failureHandlingPolicy"] == "ROLLBACK"
    assert got["deploymentPolicies"]["componentUpdatePolicy"] == {"timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS"}

    second = deploy(greengrass, group, name)
    assert greengrass.get_deployment(deploymentId=first["deploymentId"])["deploymentStatus"] == "INACTIVE"
    latest = greengrass.list_deployments(targetArn=group)["deployments"]
    assert [one["deploymentId"] for one in latest] == [second["deploymentId"]]
    everything = greengrass.list_deployments(targetArn=group, historyFilter="ALL")["deployments"]
    assert [(one["revisionId"], one["isLatestForTarget"]) for one in everything] == [("2", True), ("1", False)]


def test_a_deployment_is_an_iot_job_with_its_rollout_and_abort_criteria(
    aws: EmbeddedAws, greengrass: Any, name: str, group: str
) -> None:
    publish(greengrass, recipe(name))
    abort = {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 2}
    configuration = {
        "jobExecutionsRolloutConfig": {"maximumPerMinute": 5},
        "abortConfig": {"criteriaList": [abort]},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 10},
    }
    update = {"merge": json.dumps({"federation": "demo"}), "reset": ["/old"]}
    made = deploy(
        greengrass, group, name, iotJobConfiguration=configuration, specification={"configurationUpdate": update}
    )
    assert greengrass.get_deployment(deploymentId=made["deploymentId"])["iotJobConfiguration"] == configuration
    iot = aws.client("iot")
    job = iot.describe_job(jobId=made["iotJobId"])["job"]
    assert (job["targets"], job["targetSelection"]) == ([group], "CONTINUOUS")
    assert job["abortConfig"]["criteriaList"] == [abort]
    document = json.loads(iot.get_job_document(jobId=made["iotJobId"])["document"])
    assert document["components"] == {
        name: {"version": "1.0.0", "configurationUpdate": {"merge": {"federation": "demo"}, "reset": ["/old"]}}
    }


def test_a_deployment_is_canceled_once_and_removed_then(greengrass: Any, name: str, group: str) -> None:
    publish(greengrass, recipe(name))
    made = deploy(greengrass, group, name)
    with pytest.raises(ClientError) as error:
        greengrass.delete_deployment(deploymentId=made["deploymentId"])
    assert refusal(error) == ("ConflictException", 409)
    greengrass.cancel_deployment(deploymentId=made["deploymentId"])
    assert greengrass.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "CANCELED"
    with pytest.raises(ClientError) as error:
        greengrass.cancel_deployment(deploymentId=made["deploymentId"])
    assert refusal(error) == ("ConflictException", 409)
    greengrass.delete_deployment(deploymentId=made["deploymentId"])
    with pytest.raises(ClientError) as error:
        greengrass.get_deployment(deploymentId=made["deploymentId"])
    assert refusal(error) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"targetArn": f"arn:aws:iot:us-east-1:{ACCOUNT}:thinggroup/nobody"}, "ResourceNotFoundException"),
        ({"targetArn": f"arn:aws:iot:us-east-1:{ACCOUNT}:thing/nobody"}, "ResourceNotFoundException"),
        ({"targetArn": "thinggroup/nobody"}, "ValidationException"),
        ({"components": {"com.example.Nothing": {"componentVersion": "1.0.0"}}}, "ResourceNotFoundException"),
        ({"components": {"com.example.A": {"componentVersion": ">=1.0.0"}}}, "ValidationException"),
        (
            {"components": {"x": {"componentVersion": "1.0.0", "configurationUpdate": {"merge": "{"}}}},
            "ValidationException",
        ),
        (
            {"components": {"x": {"componentVersion": "1.0.0", "configurationUpdate": {"merge": "[]"}}}},
            "ValidationException",
        ),
        (
            {"components": {"x": {"componentVersion": "1.0.0", "configurationUpdate": {"reset": ["a"]}}}},
            "ValidationException",
        ),
        ({"deploymentPolicies": {"failureHandlingPolicy": "PRAY"}}, "ValidationException"),
        ({"iotJobConfiguration": {"jobExecutionsRolloutConfig": {"maximumPerMinute": 1001}}}, "ValidationException"),
    ],
)
def test_a_wrong_deployment_is_refused(greengrass: Any, group: str, change: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as error:
        greengrass.create_deployment(**({"targetArn": group, "components": {}} | change))
    assert refusal(error)[0] == code


def test_core_devices_are_what_they_report(aws: EmbeddedAws, greengrass: Any, group: str) -> None:
    thing = f"thing-{uuid4().hex[:8]}"
    iot = aws.client("iot")
    iot.create_thing(thingName=thing)
    iot.add_thing_to_thing_group(thingGroupName=group.rpartition("/")[2], thingName=thing)
    assert greengrass.list_core_devices(thingGroupArn=group)["coreDevices"] == []
    root = InstalledComponent(
        name="com.example.A", version="1.0.0", state="RUNNING", is_root=True, changed_at=NOW, deployment=group
    )
    needed = InstalledComponent(
        name="com.example.B", version="2.0.0", state="BROKEN", is_root=False, changed_at=NOW, deployment=group
    )
    aws.greengrass.devices.report(
        CoreDevice(
            thing=thing,
            nucleus="2.16.0",
            runtime="aws_nucleus_classic",
            platform="linux",
            architecture="aarch64",
            reported_at=NOW,
            components=(root, needed),
        )
    )
    (listed,) = greengrass.list_core_devices(thingGroupArn=group, status="UNHEALTHY")["coreDevices"]
    assert (listed["coreDeviceThingName"], listed["architecture"], listed["lastStatusUpdateTimestamp"]) == (
        thing,
        "aarch64",
        NOW,
    )
    assert greengrass.list_core_devices(thingGroupArn=group, status="HEALTHY")["coreDevices"] == []
    assert greengrass.get_core_device(coreDeviceThingName=thing)["coreVersion"] == "2.16.0"
    roots = greengrass.list_installed_components(coreDeviceThingName=thing)["installedComponents"]
    assert [one["componentName"] for one in roots] == ["com.example.A"]
    everything = greengrass.list_installed_components(coreDeviceThingName=thing, topologyFilter="ALL")
    assert {one["lifecycleState"] for one in everything["installedComponents"]} == {"RUNNING", "BROKEN"}
    greengrass.delete_core_device(coreDeviceThingName=thing)
    with pytest.raises(ClientError) as error:
        greengrass.list_installed_components(coreDeviceThingName=thing)
    assert refusal(error) == ("ResourceNotFoundException", 404)


def test_a_devices_deployments_stand_as_its_jobs_do(aws: EmbeddedAws, greengrass: Any, name: str, group: str) -> None:
    thing = f"thing-{uuid4().hex[:8]}"
    iot, jobs = aws.client("iot"), aws.client("iot-jobs-data")
    iot.create_thing(thingName=thing)
    iot.add_thing_to_thing_group(thingGroupName=group.rpartition("/")[2], thingName=thing)
    aws.greengrass.devices.report(
        CoreDevice(thing=thing, nucleus="2.16.0", runtime="r", platform="linux", architecture="amd64", reported_at=NOW)
    )
    publish(greengrass, recipe(name))
    made = deploy(greengrass, group, name)

    def effective() -> Any:
        return greengrass.list_effective_deployments(coreDeviceThingName=thing)["effectiveDeployments"][0]

    assert (effective()["coreDeviceExecutionStatus"], effective()["deploymentId"]) == ("QUEUED", made["deploymentId"])
    details = {
        "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
        "deployment-failure-cause": f"Service {name} in broken state after deployment",
        "deployment-error-stack": "DEPLOYMENT_FAILURE,COMPONENT_BROKEN",
        "deployment-error-types": "USER_COMPONENT_ERROR",
    }
    jobs.update_job_execution(jobId=made["iotJobId"], thingName=thing, status="FAILED", statusDetails=details)
    assert effective()["coreDeviceExecutionStatus"] == "FAILED"
    assert effective()["reason"] == f"FAILED_ROLLBACK_COMPLETE: Service {name} in broken state after deployment"
    assert effective()["statusDetails"] == {
        "errorStack": ["DEPLOYMENT_FAILURE", "COMPONENT_BROKEN"],
        "errorTypes": ["USER_COMPONENT_ERROR"],
    }

    alone = deploy(greengrass, f"arn:aws:iot:us-east-1:{ACCOUNT}:thing/{thing}", name)
    jobs.update_job_execution(jobId=alone["iotJobId"], thingName=thing, status="SUCCEEDED")
    assert effective()["coreDeviceExecutionStatus"] == "COMPLETED"
    assert greengrass.get_deployment(deploymentId=alone["deploymentId"])["deploymentStatus"] == "COMPLETED"


def test_tags_are_set_listed_and_taken_away(greengrass: Any, name: str) -> None:
    arn = publish(greengrass, recipe(name), tags={"a": "1"})["arn"]
    greengrass.tag_resource(resourceArn=arn, tags={"b": "2"})
    greengrass.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert greengrass.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}


def test_the_service_asks_for_signatures_and_permissions(aws: EmbeddedAws, greengrass: Any) -> None:
    def client(key: str, secret: str) -> Any:
        return boto3.client(
            "greengrassv2",
            endpoint_url=aws.endpoint,
            region_name=aws.region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    with pytest.raises(ClientError) as error:
        client(aws.environment["AWS_ACCESS_KEY_ID"], "wrong").list_components()
    assert refusal(error)[1] == 403
    iam, user = aws.client("iam"), f"user-{uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    allowed = {"Effect": "Allow", "Action": "greengrass:List*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=user, PolicyName="list", PolicyDocument=policy)
    limited = client(key["AccessKeyId"], key["SecretAccessKey"])
    limited.list_components()
    with pytest.raises(ClientError, match="greengrass:CreateComponentVersion") as error:
        publish(limited, recipe("com.example.Forbidden"))
    assert refusal(error)[1] == 403
