"""operations/doctoring/: what Greengrass says of a device and of a thing group, as the embedded AWS has it."""

import contextlib
import json
import time
from collections.abc import Sequence
from uuid import uuid4

import pytest

from operations.deployment import Deployment
from operations.doctoring import components, groups
from operations.doctoring.case import Case, Patient
from operations.doctoring.finding import NotCheckedError, Observation
from operations.doctoring.groups import Group
from sandbox.embedded_aws import EmbeddedAws
from tests.operations.core_devices import CLIENT, RUNTIME, report


@pytest.fixture
def case(aws: EmbeddedAws, deployed: Deployment) -> Case:
    return Case(aws.client, deployed.stack, time.time())


@pytest.fixture
def group(aws: EmbeddedAws) -> str:
    name = f"meadow-{uuid4().hex[:8]}"
    aws.client("iot").create_thing_group(thingGroupName=name)
    return name


@pytest.fixture
def thing(aws: EmbeddedAws, group: str) -> str:
    name = f"pi-{uuid4().hex[:8]}"
    aws.client("iot").create_thing(thingName=name)
    aws.client("iot").add_thing_to_thing_group(thingGroupName=group, thingName=name)
    return name


def deploy(aws: EmbeddedAws, group: str, name: str) -> str:
    """Deploy a component of this name to the group; returns the deployment's id."""
    greengrass = aws.client("greengrassv2")
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": "1.2.3",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "sleep 1000"}}],
    }
    with contextlib.suppress(greengrass.exceptions.ConflictException):
        greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())
    arn = aws.client("iot").describe_thing_group(thingGroupName=group)["thingGroupArn"]
    made = greengrass.create_deployment(targetArn=arn, components={name: {"componentVersion": "1.2.3"}})
    return str(made["deploymentId"])


def only(found: Sequence[Observation]) -> Observation:
    (one,) = found
    return one


def test_a_device_without_a_nucleus_is_found(case: Case, thing: str) -> None:
    found = only(list(components.core_device(Patient(case, thing))))
    assert (found.state, "no Greengrass core device" in found.text) == ("wrong", True)


def test_a_device_is_well_whose_components_run(case: Case, aws: EmbeddedAws, thing: str) -> None:
    report(aws, thing, client="RUNNING", runtime="FINISHED")
    assert only(list(components.core_device(Patient(case, thing)))).text == "it is HEALTHY: nucleus 2.16.0 on aarch64"
    found = list(components.components(Patient(case, thing)))
    assert [one.state for one in found] == ["ok", "ok"]
    assert found[1].text == f"{CLIENT} 1.2.3 is RUNNING"


def test_components_that_are_broken_or_missing_are_found(case: Case, aws: EmbeddedAws, thing: str) -> None:
    report(aws, thing, runtime="BROKEN")
    unhealthy = only(list(components.core_device(Patient(case, thing))))
    assert (unhealthy.state, "UNHEALTHY" in unhealthy.text) == ("wrong", True)
    runtime, client = components.components(Patient(case, thing))
    assert (runtime.state, runtime.text[:36]) == ("wrong", f"{RUNTIME} 1.2.3 is BROKEN"[:36])
    assert f"{RUNTIME}.log" in runtime.remedy
    assert (client.state, client.text) == ("wrong", f"{CLIENT} is not installed")
    assert client.remedy.startswith("fedgrass deploy fleet")


def test_a_nucleus_that_has_been_silent_for_days_is_found(case: Case, aws: EmbeddedAws, thing: str) -> None:
    report(aws, thing, days_ago=5, client="RUNNING", runtime="FINISHED")
    found = only(list(components.core_device(Patient(case, thing))))
    assert (found.state, found.text) == ("wrong", "its nucleus has not reported for 5 days")


def test_a_deployment_that_failed_on_a_device_is_found_with_its_reason(
    case: Case, aws: EmbeddedAws, thing: str, group: str
) -> None:
    report(aws, thing)
    with pytest.raises(NotCheckedError):
        list(components.last_deployment(Patient(case, thing)))
    deployment = deploy(aws, group, f"com.example.A{uuid4().hex[:8]}")
    assert only(list(components.last_deployment(Patient(case, thing)))).state == "ok"
    aws.client("iot-jobs-data").update_job_execution(
        jobId=deployment,
        thingName=thing,
        status="FAILED",
        statusDetails={
            "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
            "deployment-failure-cause": "disk full",
        },
    )
    found = only(list(components.last_deployment(Patient(case, thing))))
    assert (found.state, found.text.endswith("disk full")) == ("wrong", True)
    assert found.remedy == f"aws greengrassv2 get-deployment --deployment-id {deployment}"


def test_a_group_to_which_the_client_is_not_deployed_is_found(case: Case, aws: EmbeddedAws, group: str) -> None:
    def found() -> Observation:
        return only(list(groups.group_deployment(Group(case, group))))

    remedy = f"fedgrass deploy fleet --thing-group {group}"
    assert found() == Observation("wrong", "nothing is deployed to it", remedy)
    deploy(aws, group, f"com.example.A{uuid4().hex[:8]}")
    assert found() == Observation("wrong", f"its deployment has no {CLIENT}", remedy)
    deployment = deploy(aws, group, CLIENT)
    assert found().text == f"its deployment is ACTIVE, with {CLIENT} 1.2.3"
    aws.client("greengrassv2").cancel_deployment(deploymentId=deployment)
    assert found() == Observation("wrong", "its deployment is CANCELED", remedy)
