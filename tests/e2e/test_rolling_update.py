"""New versions of the component, deployed to devices in the middle of a federation."""

from pathlib import Path

import msgspec
import pytest

from cli import digits
from cli.datasets.dividing import Request
from cli.datasets.splitting import Split
from cli.datasets.writing import share_out
from cli.project import load
from cli.project_data import EXAMPLE
from cli.project_sandbox import build_component, init_federation
from cloud.state.federations import ChangedMeanwhileError
from operations import settings_update
from reporting.view import View
from sandbox import publishing
from sandbox.built_component import BuiltComponent
from sandbox.device import Device
from sandbox.federated_run import run_rounds, wait_for_clients
from sandbox.fleet import Fleet
from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.personality import CLASSIC, LITE
from sandbox.sandbox import Sandbox
from tests.e2e.federations import model_0
from tests.sandbox.greengrass.publishing import SLEEP, Operator

THINGS = [f"device-{number}" for number in range(2)]
NUCLEI = (CLASSIC, LITE)
FOREIGN = "com.example.Foreign"
BROKEN, MENDED = "1.0.1", "1.0.2"
FIRST_FAILURE = {"failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 1, "minNumberOfExecutedThings": 1}


def other_version(built: BuiltComponent, version: str, directory: Path, *, runs: bool = True) -> BuiltComponent:
    """The same component under another version; one that does not run fails at once."""
    text = built.recipe.read_text().replace('ComponentVersion: "NEXT_PATCH"', f'ComponentVersion: "{version}"')
    recipe = directory / f"{version}.yaml"
    recipe.write_text(text if runs else text.replace("exec env ", "exit 1 # "))
    return BuiltComponent(recipe, built.artifacts)


class Updates:
    """An operator's steps while the federation goes on: a version that does not run, then one that does, and the
    federation ends when all devices have that."""

    def __init__(self, sandbox: Sandbox, fleet: Fleet, group: str, component: str) -> None:
        self._sandbox = sandbox
        self._fleet = fleet
        self._greengrass = sandbox.aws.client("greengrassv2")
        self._group = group
        self._component = component
        self._steps = [self._break, self._see_it_stopped, self._see_all_updated]
        self.deployments: list[str] = []

    def look(self, view: View) -> None:
        """Take the next step, if it is time for that."""
        if self._steps and self._steps[0](view):
            del self._steps[0]

    def _deploy(self, version: str) -> None:
        arn = self._sandbox.aws.client("iot").describe_thing_group(thingGroupName=self._group)["thingGroupArn"]
        made = self._greengrass.create_deployment(
            targetArn=arn,
            components={self._component: {"componentVersion": version}},
            iotJobConfiguration={
                "jobExecutionsRolloutConfig": {"maximumPerMinute": 1},
                "abortConfig": {"criteriaList": [FIRST_FAILURE]},
            },
        )
        self.deployments.append(made["deploymentId"])

    def _break(self, view: View) -> bool:
        if view.round < 3:
            return False
        self._deploy(BROKEN)
        return True

    def _see_it_stopped(self, _: View) -> bool:
        status = self._greengrass.get_deployment(deploymentId=self.deployments[0])["deploymentStatus"]
        if status != "CANCELED" or any(device.version_of(self._component) == BROKEN for device in self._devices):
            return False
        self._deploy(MENDED)
        return True

    def _see_all_updated(self, _: View) -> bool:
        if any(device.version_of(self._component) != MENDED for device in self._devices):
            return False
        operations = self._sandbox.operations
        record = operations.federations.get("digits")
        wanted = msgspec.structs.replace(record.settings, rounds=record.round + 2)
        try:
            settings_update.apply(operations, settings_update.prepare(operations, wanted))
        except ChangedMeanwhileError:  # a round has ended: try again, as it says
            return False
        return True

    @property
    def _devices(self) -> list[Device]:
        return list(self._fleet.devices.values())


@pytest.mark.timeout(500)
def test_devices_are_updated_in_mid_federation_and_no_round_is_lost(tmp_path: Path) -> None:
    project = load(EXAMPLE, rounds=500, deadline_s=200)
    shards = share_out(digits.packaged_source(), Request(Split("iid"), names=tuple(THINGS)), tmp_path / "shards")
    with Sandbox(rollout_minute_s=7.0) as sandbox:
        client = sandbox.aws.client
        component = build_component(project, sandbox.path / "build")
        init_federation(project, sandbox, model_0(project))
        options = {"threads": 1, "defer_updates_s": 1}
        with sandbox.fleet(component, project.settings, shards.clients, NUCLEI, **options) as fleet:
            wait_for_clients(sandbox.operations, "digits", fleet)
            for version in (BROKEN, MENDED):
                built = other_version(component, version, tmp_path, runs=version != BROKEN)
                publishing.publish(client, built.recipe, built.artifacts)
            operator = Operator(sandbox.aws)
            operator.publish(FOREIGN, "1.0.0", f"echo $$; {SLEEP}")
            theirs = operator.deploy(operator.group(*THINGS), {FOREIGN: "1.0.0"})
            for thing in THINGS:
                operator.succeeds(thing, theirs)

            updates = Updates(sandbox, fleet, str(project.settings.thing_group), component.name)
            figures = run_rounds(sandbox, sandbox.operations, "digits", look=updates.look)

            statuses = {
                thing: (operator.effective(thing, updates.deployments[0]) or {}).get("reason") for thing in THINGS
            }
            failed = [reason for reason in statuses.values() if reason is not None]
            for thing in THINGS:
                operator.succeeds(thing, updates.deployments[1])
            foreign = [device.directory / "logs" / f"{FOREIGN}.log" for device in fleet.devices.values()]
            assert [len(log.read_text().splitlines()) for log in foreign] == [1] * len(THINGS), "each was started once"
            assert {device.state_of(FOREIGN) for device in fleet.devices.values()} == {ComponentState.RUNNING}
    assert 1 <= len(failed) < len(THINGS), "the rollout was stopped before all devices had it"
    assert all(str(reason).startswith("FAILED_ROLLBACK_COMPLETE") for reason in failed)
    assert {figure.status for figure in figures} == {"closed"}
    assert {figure.accepted for figure in figures} == {len(THINGS)}
