"""The API's operations on core devices."""

import threading
from collections.abc import Mapping

from sandbox.greengrass.arns import Arns
from sandbox.greengrass.core_devices import CoreDevice, CoreDevices
from sandbox.greengrass.deployments import Deployment, Deployments
from sandbox.greengrass.jobs import Execution, Jobs
from sandbox.greengrass.operations import Operation, Parameters, Result, page

_DETAIL = "detailed-deployment-status"
_CAUSE = "deployment-failure-cause"


class DeviceOperations:
    """What devices have reported, and how their IoT jobs stand."""

    def __init__(
        self, devices: CoreDevices, deployments: Deployments, jobs: Jobs, arns: Arns, lock: threading.RLock
    ) -> None:
        self._devices = devices
        self._deployments = deployments
        self._jobs = jobs
        self._arns = arns
        self._lock = lock

    @property
    def operations(self) -> Mapping[str, Operation]:
        """By their names."""
        return {
            "ListCoreDevices": self._list_core_devices,
            "GetCoreDevice": self._get_core_device,
            "DeleteCoreDevice": self._delete_core_device,
            "ListEffectiveDeployments": self._list_effective_deployments,
            "ListInstalledComponents": self._list_installed_components,
        }

    def _list_core_devices(self, asked: Parameters) -> Result:
        group = asked.get("thingGroupArn")
        members = None if group is None else self._jobs.things_of(group)
        found = [
            _described(device)
            for device in self._devices.all()
            if (members is None or device.thing in members)
            and asked.get("status") in {None, device.status}
            and asked.get("runtime") in {None, device.runtime}
        ]
        return page("coreDevices", found, asked)

    def _get_core_device(self, asked: Parameters) -> Result:
        device = self._devices.find(asked["coreDeviceThingName"])
        tags = self._devices.tags.get(device.thing, {})
        return _described(device) | {"coreVersion": device.nucleus, "tags": tags}

    def _delete_core_device(self, asked: Parameters) -> Result:
        self._devices.remove(asked["coreDeviceThingName"])
        return {}

    def _list_effective_deployments(self, asked: Parameters) -> Result:
        device = self._devices.find(asked["coreDeviceThingName"])
        executions = {execution.job_id: execution for execution in self._jobs.executions(device.thing)}
        with self._lock:
            deployments = [one for one in self._deployments.newest_first() if one.job_id in executions]
        items = [self._effective(deployment, executions[deployment.job_id]) for deployment in deployments]
        return page("effectiveDeployments", items, asked)

    def _effective(self, deployment: Deployment, execution: Execution) -> Result:
        is_done = execution.status == "SUCCEEDED" and deployment.is_for_thing
        details = execution.details
        effective = {
            "deploymentId": deployment.id,
            "deploymentName": deployment.name or deployment.id,
            "iotJobId": deployment.job_id,
            "iotJobArn": self._arns.job(deployment.job_id),
            "targetArn": deployment.target_arn,
            "coreDeviceExecutionStatus": "COMPLETED" if is_done else execution.status,
            "reason": _reason(execution),
            "creationTimestamp": deployment.created_at,
            "modifiedTimestamp": execution.changed_at,
        }
        stack = [code for code in details.get("deployment-error-stack", "").split(",") if code]
        types = [kind for kind in details.get("deployment-error-types", "").split(",") if kind]
        return effective | ({"statusDetails": {"errorStack": stack, "errorTypes": types}} if stack else {})

    def _list_installed_components(self, asked: Parameters) -> Result:
        device = self._devices.find(asked["coreDeviceThingName"])
        items = [
            {
                "componentName": component.name,
                "componentVersion": component.version,
                "lifecycleState": component.state,
                "isRoot": component.is_root,
                "lastStatusChangeTimestamp": component.changed_at,
                "lastReportedTimestamp": device.reported_at,
                "lastInstallationSource": component.deployment,
            }
            for component in device.components
            if component.is_root or asked.get("topologyFilter") == "ALL"
        ]
        return page("installedComponents", items, asked)


def _described(device: CoreDevice) -> Result:
    return {
        "coreDeviceThingName": device.thing,
        "status": device.status,
        "lastStatusUpdateTimestamp": device.reported_at,
        "platform": device.platform,
        "architecture": device.architecture,
        "runtime": device.runtime,
    }


def _reason(execution: Execution) -> str:
    detail, cause = execution.details.get(_DETAIL), execution.details.get(_CAUSE)
    return ": ".join(part for part in (detail, cause) if part) or execution.status
