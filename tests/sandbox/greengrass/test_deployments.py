"""Deployments from the service to the devices, on both nuclei."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws
from sandbox.fleet import Access, Fleet
from sandbox.nucleus.components import INTERPOLATE
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.personality import CLASSIC
from sandbox.polling import eventually
from sandbox.scratch import Scratch
from tests.sandbox.conftest import QUICK_LITE
from tests.sandbox.greengrass.publishing import LIMIT_S, SLEEP, Operator, thing_arn

APP = "com.example.App"
THINGS = ("deployed-classic", "deployed-lite")
NUCLEI = (CLASSIC, QUICK_LITE)


@pytest.fixture(scope="module")
def fleet(aws: EmbeddedAws, access: Access) -> Iterator[Fleet]:
    """Devices as they come from the factory: nothing is deployed to them."""
    with Scratch() as scratch:
        things: dict[str, dict[str, str]] = {thing: {} for thing in THINGS}
        with Fleet(aws, scratch, scratch.path / "devices", APP, access, things, nuclei=NUCLEI) as fleet:
            yield fleet


@pytest.fixture(scope="module")
def operator(aws: EmbeddedAws, fleet: Fleet) -> Operator:
    made = Operator(aws)
    made.allow_artifacts()
    return made


@pytest.fixture
def device(request: pytest.FixtureRequest, fleet: Fleet) -> Device:
    """The one with the classic nucleus, or both in turn."""
    found: Device = fleet.devices[getattr(request, "param", THINGS[0])]
    return found


BOTH = pytest.mark.parametrize("device", THINGS, indirect=True)


@pytest.fixture
def group(operator: Operator, device: Device) -> str:
    """A new thing group of the device's. What is deployed to it stays there when a test is over."""
    return operator.group(device.thing)


@pytest.fixture
def name() -> str:
    return f"com.example.A{uuid4().hex[:8]}"


def lines(device: Device, name: str) -> list[str]:
    path = device.directory / "logs" / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


def pid(device: Device, name: str) -> str:
    """The process of a component whose script begins with `echo $$`."""
    eventually(lambda: lines(device, name) != [], f"{name} to say its process id", LIMIT_S)
    return lines(device, name)[-1]


@BOTH
def test_a_component_is_fetched_configured_and_run(operator: Operator, device: Device, group: str, name: str) -> None:
    run = f'cat "{{artifacts:path}}/hello.txt"; echo "{{configuration:/greeting}} {{iot:thingName}}"; {SLEEP}'
    operator.publish(
        name, "1.0.0", run, artifacts={"hello.txt": b"from S3\n"}, configuration={"greeting": "nobody", "kept": 1}
    )
    change = {"merge": '{"greeting": "hello"}'}
    deployment = operator.deploy(group, {name: {"componentVersion": "1.0.0", "configurationUpdate": change}})
    operator.succeeds(device.thing, deployment)
    assert device.state_of(name) is ComponentState.RUNNING
    assert lines(device, name) == ["from S3", f"hello {device.thing}"]
    assert operator.installed(device.thing)[name] == "1.0.0"
    (artifact,) = device.directory.glob(f"packages/artifacts/{name}/1.0.0/*")
    assert artifact.read_bytes() == b"from S3\n"


def test_a_new_version_replaces_the_old_and_leaves_others_alone(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    foreign, theirs = f"{name}.Foreign", operator.group(device.thing)
    operator.publish(foreign, "3.0.0", f"echo $$; {SLEEP}")
    operator.succeeds(device.thing, operator.deploy(theirs, {foreign: "3.0.0"}))
    before = pid(device, foreign)

    operator.publish(name, "1.0.0", f"echo one; {SLEEP}")
    operator.publish(name, "2.0.0", f"echo two; {SLEEP}")
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    operator.succeeds(device.thing, operator.deploy(group, {name: "2.0.0"}))
    assert lines(device, name) == ["one", "two"]
    assert operator.installed(device.thing).items() >= {name: "2.0.0", foreign: "3.0.0"}.items()

    operator.succeeds(device.thing, operator.deploy(group, {}))
    assert operator.installed(device.thing).keys() & {name, foreign} == {foreign}
    assert (device.state_of(name), device.state_of(foreign)) == (None, ComponentState.RUNNING)
    assert (pid(device, foreign), len(lines(device, foreign))) == (before, 1)


@BOTH
def test_a_version_that_does_not_run_is_rolled_back(operator: Operator, device: Device, group: str, name: str) -> None:
    operator.publish(name, "1.0.0", f'echo "good {{configuration:/who}}"; {SLEEP}', configuration={"who": "me"})
    operator.publish(name, "1.1.0", "echo bad; exit 1", configuration={"new": "key"})
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    change = {"componentVersion": "1.1.0", "configurationUpdate": {"merge": '{"who": "you"}'}}
    ended = operator.ended(device.thing, operator.deploy(group, {name: change}))
    assert ended["coreDeviceExecutionStatus"] == "FAILED"
    assert ended["reason"].startswith(f"FAILED_ROLLBACK_COMPLETE: Service {name} in state BROKEN")
    assert "COMPONENT_BROKEN" in ended["statusDetails"]["errorStack"]
    assert lines(device, name) == ["good me", "bad", "bad", "bad", "good me"]
    assert device.state_of(name) is ComponentState.RUNNING
    assert operator.installed(device.thing)[name] == "1.0.0"


def test_without_a_rollback_what_does_not_run_stays(operator: Operator, device: Device, group: str, name: str) -> None:
    operator.publish(name, "1.0.0", "exit 1")
    policies = {"failureHandlingPolicy": "DO_NOTHING"}
    ended = operator.ended(device.thing, operator.deploy(group, {name: "1.0.0"}, deploymentPolicies=policies))
    assert ended["reason"].startswith("FAILED_ROLLBACK_NOT_REQUESTED")
    assert device.state_of(name) is ComponentState.BROKEN
    listed = operator.greengrass.get_core_device(coreDeviceThingName=device.thing)
    assert listed["status"] == "UNHEALTHY"


def test_a_change_of_configuration_restarts_only_what_has_it_in_its_scripts(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    told = f"{name}.Told"
    operator.publish(name, "1.0.0", f'echo "{{configuration:/word}}"; {SLEEP}', configuration={"word": "first"})
    operator.publish(told, "1.0.0", f"echo started; {SLEEP}", configuration={"word": "first"})
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0", told: "1.0.0"}))
    change = {"componentVersion": "1.0.0", "configurationUpdate": {"merge": '{"word": "second"}'}}
    operator.succeeds(device.thing, operator.deploy(group, {name: change, told: change}))
    assert (lines(device, name), lines(device, told)) == (["first", "second"], ["started"])
    change = {"componentVersion": "1.0.0", "configurationUpdate": {"reset": ["/word"]}}
    operator.succeeds(device.thing, operator.deploy(group, {name: change, told: change}))
    assert (lines(device, name)[-1], lines(device, told)) == ("first", ["started"])


def test_what_is_needed_comes_first_and_is_not_a_root(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    base, side = f"{name}.Base", f"{name}.Side"
    operator.publish(base, "1.0.0")
    operator.publish(base, "1.4.0", 'echo "base at work"', install="echo base installed")
    operator.publish(base, "2.0.0")
    operator.publish(side, "1.0.0")
    log = f'"{{kernel:rootPath}}/logs/{base}.log"'
    needs = {
        base: {"VersionRequirement": ">=1.0.0 <2.0.0", "DependencyType": "HARD"},
        side: {"VersionRequirement": ">=1.0.0", "DependencyType": "SOFT"},
        "aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0 <3.0.0"},
    }
    operator.publish(name, "1.0.0", f"cat {log}; {SLEEP}", dependencies=needs)
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    assert lines(device, name) == ["base installed", "base at work"]
    assert (device.version_of(base), device.version_of(side)) == ("1.4.0", "1.0.0")
    assert operator.installed(device.thing).keys() & {name, base, side} == {name}
    everything = operator.greengrass.list_installed_components(coreDeviceThingName=device.thing, topologyFilter="ALL")
    assert {base, side} <= {one["componentName"] for one in everything["installedComponents"]}


def test_what_can_not_be_had_changes_nothing(operator: Operator, device: Device, group: str, name: str) -> None:
    operator.publish(name, "1.0.0", f"echo $$; {SLEEP}")
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    before = pid(device, name)
    operator.publish(name, "1.1.0", artifacts={"a.txt": b"published"})
    s3 = operator.aws.client("s3")

    s3.put_object(Bucket=operator.bucket, Key=f"{name}/1.1.0/a.txt", Body=b"another")
    ended = operator.ended(device.thing, operator.deploy(group, {name: "1.1.0"}))
    assert "FAILED_NO_STATE_CHANGE" in ended["reason"]
    assert "is not what was published" in ended["reason"]
    s3.put_object(Bucket=operator.bucket, Key=f"{name}/1.1.0/a.txt", Body=b"published")

    operator.forbid_artifacts()
    ended = operator.ended(device.thing, operator.deploy(group, {name: "1.1.0"}))
    assert "S3_GET_OBJECT_ACCESS_DENIED" in ended["statusDetails"]["errorStack"]
    operator.allow_artifacts()

    operator.publish(name, "1.2.0", platform={"os": "linux", "architecture": "armv7l", "runtime": "*"})
    ended = operator.ended(device.thing, operator.deploy(group, {name: "1.2.0"}))
    assert "no manifest for platform" in ended["reason"]

    operator.publish(name, "1.3.0", dependencies={f"{name}.Nothing": {"VersionRequirement": ">=1.0.0"}})
    ended = operator.ended(device.thing, operator.deploy(group, {name: "1.3.0"}))
    assert f"component {name}.Nothing satisfies the requirements >=1.0.0 by {name}" in ended["reason"]

    assert (pid(device, name), device.version_of(name)) == (before, "1.0.0")


def test_two_groups_can_not_ask_for_two_versions(operator: Operator, device: Device, group: str, name: str) -> None:
    operator.publish(name, "1.0.0")
    operator.publish(name, "2.0.0")
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    other = operator.group(device.thing)
    ended = operator.ended(device.thing, operator.deploy(other, {name: "2.0.0"}))
    assert "NO_AVAILABLE_COMPONENT_VERSION" in ended["statusDetails"]["errorStack"]
    assert device.version_of(name) == "1.0.0"


def test_variables_in_a_configuration_are_filled_in_where_the_nucleus_is_told_to(
    operator: Operator, fleet: Fleet, name: str
) -> None:
    device = fleet.devices["deployed-classic"]
    group = operator.group(device.thing)
    operator.publish(
        name, "1.0.0", f'echo "{{configuration:/path}}"; {SLEEP}', configuration={"path": "/d/{iot:thingName}"}
    )
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    nucleus = {
        "componentVersion": CLASSIC.version,
        "configurationUpdate": {"merge": f'{{"{INTERPOLATE}": true}}'},
    }
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0", CLASSIC.component: nucleus}))
    assert lines(device, name) == ["/d/{iot:thingName}", f"/d/{device.thing}"]


@BOTH
def test_a_deployment_that_a_power_cut_breaks_off_is_carried_out_after_it(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    operator.publish(name, "1.0.0")
    operator.publish(
        name, "2.0.0", f"echo up; {SLEEP}", install='echo installing; [ -e "{work:path}/go" ] || sleep 1000'
    )
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    deployment = operator.deploy(group, {name: "2.0.0"})
    eventually(lambda: lines(device, name) == ["installing"], "the installation to begin", LIMIT_S)
    device.power_off()
    assert (operator.effective(device.thing, deployment) or {})["coreDeviceExecutionStatus"] == "IN_PROGRESS"
    (device.directory / "work" / name / "go").touch()
    device.power_on()
    operator.succeeds(device.thing, deployment)
    assert lines(device, name)[-1] == "up"


@BOTH
def test_a_device_that_is_away_gets_the_deployment_when_it_is_back(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    operator.publish(name, "1.0.0")
    operator.publish(name, "2.0.0")
    device.power_off()
    first = operator.deploy(group, {name: "1.0.0"})
    last = operator.deploy(group, {name: "2.0.0"})
    assert operator.ended(device.thing, first)["coreDeviceExecutionStatus"] == "CANCELED"
    assert (operator.effective(device.thing, last) or {})["coreDeviceExecutionStatus"] == "QUEUED"
    device.power_on()
    operator.succeeds(device.thing, last)
    assert operator.installed(device.thing)[name] == "2.0.0"


def test_who_joins_a_group_later_gets_its_deployment(operator: Operator, device: Device, name: str) -> None:
    operator.publish(name, "1.0.0")
    group = operator.group()
    deployment = operator.deploy(group, {name: "1.0.0"})
    operator.join(group, device.thing)
    operator.succeeds(device.thing, deployment)


@BOTH
def test_what_a_group_wanted_goes_with_the_next_deployment_after_the_device_has_left_it(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    other = f"{name}.Other"
    operator.publish(name, "1.0.0")
    operator.publish(other, "1.0.0")
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    operator.leave(group, device.thing)
    assert device.version_of(name) == "1.0.0"
    operator.succeeds(device.thing, operator.deploy(operator.group(device.thing), {other: "1.0.0"}))
    assert (device.version_of(name), device.version_of(other)) == (None, "1.0.0")


def test_the_next_batch_of_a_rollout_gets_the_deployment(tmp_path: Path, name: str) -> None:
    things = [f"batched-{number}" for number in range(3)]
    with EmbeddedAws(tmp_path / "aws", rollout_minute_s=0.5) as quick:
        operator = Operator(quick)
        for thing in things:
            quick.client("iot").create_thing(thingName=thing)
        operator.publish(name, "1.0.0")
        configuration = {"jobExecutionsRolloutConfig": {"maximumPerMinute": 2}}
        deployment = operator.deploy(operator.group(*things), {name: "1.0.0"}, iotJobConfiguration=configuration)
        iot = quick.client("iot")

        def given() -> bool:
            return len(iot.list_job_executions_for_job(jobId=deployment)["executionSummaries"]) == 3

        eventually(given, "the second batch", LIMIT_S)
        numbers = [
            one["jobExecutionSummary"]["executionNumber"]
            for one in iot.list_job_executions_for_job(jobId=deployment)["executionSummaries"]
        ]
    assert numbers == [1, 1, 1], "each has it once"


def test_a_device_can_be_a_target_by_itself(operator: Operator, device: Device, name: str) -> None:
    operator.publish(name, "1.0.0")
    deployment = operator.deploy(thing_arn(device.thing), {name: "1.0.0"})
    assert operator.ended(device.thing, deployment)["coreDeviceExecutionStatus"] == "COMPLETED"
    assert operator.greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"] == "COMPLETED"


def test_a_first_failure_stops_the_rollout_to_the_others(operator: Operator, fleet: Fleet, name: str) -> None:
    operator.publish(name, "1.0.0", "exit 1")
    group = operator.group(*THINGS)
    abort = {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 10, "minNumberOfExecutedThings": 1}
    configuration = {
        "jobExecutionsRolloutConfig": {"maximumPerMinute": 1},
        "abortConfig": {"criteriaList": [abort]},
    }
    deployment = operator.deploy(group, {name: "1.0.0"}, iotJobConfiguration=configuration)

    def canceled() -> bool:
        return bool(operator.greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"] == "CANCELED")

    eventually(canceled, "the rollout to stop", LIMIT_S)
    statuses = [(operator.effective(thing, deployment) or {}).get("coreDeviceExecutionStatus") for thing in THINGS]
    assert sorted(map(str, statuses)) == ["FAILED", "None"]
    assert [device.version_of(name) for device in fleet.devices.values()] == [None, None]


def test_what_is_canceled_is_not_carried_out(operator: Operator, device: Device, group: str, name: str) -> None:
    operator.publish(name, "1.0.0")
    device.power_off()
    deployment = operator.deploy(group, {name: "1.0.0"})
    operator.greengrass.cancel_deployment(deploymentId=deployment)
    device.power_on()
    assert operator.ended(device.thing, deployment)["coreDeviceExecutionStatus"] == "CANCELED"
    operator.succeeds(device.thing, operator.deploy(group, {}))  # after which it would have been done
    assert device.version_of(name) is None


@BOTH
def test_a_subdeployment_is_one_of_the_group_itself_where_the_nucleus_knows_them(
    operator: Operator, device: Device, group: str, name: str
) -> None:
    for version in ("1.0.0", "2.0.0"):
        operator.publish(name, version)
    operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    part = operator.deploy(operator.group(device.thing), {name: "2.0.0"}, parentTargetArn=group)
    ended = operator.ended(device.thing, part)
    if device.personality is CLASSIC:
        assert operator.installed(device.thing)[name] == "2.0.0"
        operator.succeeds(device.thing, operator.deploy(group, {name: "1.0.0"}))
    else:
        assert ended["statusDetails"]["errorStack"][-1] == "NO_AVAILABLE_COMPONENT_VERSION"
    assert operator.installed(device.thing)[name] == "1.0.0"
