"""Checks of what Greengrass says of a device: the nucleus, the components, the last deployment."""

from collections.abc import Iterator

from operations.doctoring.case import Patient
from operations.doctoring.finding import NotCheckedError, Observation, ok, wrong
from operations.pages import listed

_CLIENT, _RUNTIME = "com.fedgrass.Client", "com.fedgrass.Runtime"
_DONE = {"RUNNING", "FINISHED"}
_FAILED = {"FAILED", "REJECTED", "TIMED_OUT"}
_LOGS = "/greengrass/v2/logs/{name}.log, or journalctl -t {name} on nucleus lite"
_STATUS_S = 3 * 86_400
"""A nucleus reports once a day, and when something changes."""


def core_device(patient: Patient) -> Iterator[Observation]:
    """Greengrass knows it, and has heard of it lately."""
    greengrass = patient.case.client("greengrassv2")
    try:
        found = greengrass.get_core_device(coreDeviceThingName=patient.thing)
    except greengrass.exceptions.ResourceNotFoundException:
        install = "install a nucleus on it, with this thing's name and certificate"
        yield wrong("it is no Greengrass core device: no nucleus has ever reported under its name", install)
        return
    silent_s = patient.case.now - found["lastStatusUpdateTimestamp"].timestamp()
    what = f"nucleus {found.get('coreVersion', 'unknown')} on {found.get('architecture', 'unknown')}"
    if silent_s > _STATUS_S:
        start = "on the device: sudo systemctl restart greengrass, or sudo systemctl start greengrass-lite.target"
        yield wrong(f"its nucleus has not reported for {silent_s / 86_400:.0f} days", start)
    elif found["status"] != "HEALTHY":
        show = f"aws greengrassv2 list-installed-components --core-device-thing-name {patient.thing}"
        yield wrong(f"it is {found['status']}: {what}", show)
    else:
        yield ok(f"it is {found['status']}: {what}")


def components(patient: Patient) -> Iterator[Observation]:
    """The client runs, and so does what it needs."""
    asked = {"coreDeviceThingName": patient.thing, "topologyFilter": "ALL"}
    found = listed(patient.case.client("greengrassv2"), "list_installed_components", "installedComponents", **asked)
    installed = {one["componentName"]: one for one in found}
    for name in (_RUNTIME, _CLIENT):
        component = installed.get(name)
        if component is None:
            yield wrong(
                f"{name} is not installed", patient.case.command("deploy fleet --thing-group <a group of the device>")
            )
        elif component["lifecycleState"] in _DONE:
            yield ok(f"{name} {component['componentVersion']} is {component['lifecycleState']}")
        else:
            details = component.get("lifecycleStateDetails") or "no details"
            text = f"{name} {component['componentVersion']} is {component['lifecycleState']}: {details}"
            yield wrong(text, f"on the device: look at {_LOGS.format(name=name)}")


def last_deployment(patient: Patient) -> Iterator[Observation]:
    """It has not failed."""
    greengrass = patient.case.client("greengrassv2")
    found = listed(greengrass, "list_effective_deployments", "effectiveDeployments", coreDeviceThingName=patient.thing)
    last = max(found, key=lambda one: one["modifiedTimestamp"], default=None)
    if last is None:
        raise NotCheckedError("nothing was ever deployed to it")
    name, status = last.get("deploymentName") or last["deploymentId"], last["coreDeviceExecutionStatus"]
    if status in _FAILED:
        show = f"aws greengrassv2 get-deployment --deployment-id {last['deploymentId']}"
        yield wrong(f"deployment {name} is {status}: {last.get('reason', 'no reason')}", show)
    else:
        yield ok(f"deployment {name} is {status}")
