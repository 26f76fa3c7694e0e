"""The operations of greengrassv2 that GDK, fedgrass and the nuclei call."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.greengrass.arns import Arns
from sandbox.greengrass.component_operations import ComponentOperations
from sandbox.greengrass.components import Components
from sandbox.greengrass.core_devices import CoreDevices
from sandbox.greengrass.deployment_operations import DeploymentOperations
from sandbox.greengrass.deployments import Deployments
from sandbox.greengrass.device_operations import DeviceOperations
from sandbox.greengrass.errors import ValidationError
from sandbox.greengrass.jobs import Jobs
from sandbox.greengrass.operations import Operation, Parameters, Result
from sandbox.greengrass.recipes import written
from sandbox.greengrass.versions import Requirement

OF_AWS = {
    "aws.greengrass.Cli": "2.16.0",
    "aws.greengrass.Nucleus": "2.16.0",
    "aws.greengrass.NucleusLite": "2.6.0",
    "aws.greengrass.TokenExchangeService": "2.0.3",
}
"""The components that all accounts have."""


class Greengrass:
    """Holds what there is. `devices` takes the reports of core devices. It may be called from any thread."""

    def __init__(self, client: Callable[[str], Any], region: str, account: str) -> None:
        """`client` gives an administrator's client of a service by its boto3 name."""
        self.devices = CoreDevices()
        self._lock = threading.RLock()
        arns = Arns(region, account)
        self._components = Components(arns, OF_AWS, datetime.now(UTC))
        self._deployments = Deployments()
        jobs = Jobs(lambda: client("iot"), arns)
        of_components = self._component_operations = ComponentOperations(
            self._components, arns, lambda: client("s3"), self._lock
        )
        of_deployments = DeploymentOperations(self._deployments, self._components, jobs, arns, self._lock)
        of_devices = DeviceOperations(self.devices, self._deployments, jobs, arns, self._lock)
        self._operations: Mapping[str, Operation] = {
            **of_components.operations,
            **of_deployments.operations,
            **of_devices.operations,
            "ListTagsForResource": self._list_tags_for_resource,
            "TagResource": self._tag_resource,
            "UntagResource": self._untag_resource,
        }
        self._answered: dict[str, Result] = {}

    def best_recipe(self, name: str, requirements: Sequence[Requirement]) -> bytes | None:
        """The recipe of the highest version of a component that meets all of them, as JSON; None if there is none,
        or it is AWS's."""
        found = self._component_operations.resolve(name, requirements)
        return written(found.document, "JSON") if found is not None and found.document else None

    def call(self, operation: str, parameters: Parameters) -> Result:
        """What an operation gives. A call that its client repeats for want of an answer is done once.

        Raises:
            ServiceError: it is not done.
        """
        if operation not in self._operations:
            raise ValidationError(f"{operation} is not in this sandbox", reason="UNKNOWN_OPERATION")
        token = parameters.get("clientToken")
        if token is None:
            return self._operations[operation](parameters)
        if token not in self._answered:
            self._answered[token] = self._operations[operation](parameters)
        return self._answered[token]

    def _list_tags_for_resource(self, asked: Parameters) -> Result:
        return {"tags": self._tags(asked["resourceArn"])}

    def _tag_resource(self, asked: Parameters) -> Result:
        self._tags(asked["resourceArn"]).update(asked["tags"])
        return {}

    def _untag_resource(self, asked: Parameters) -> Result:
        tags = self._tags(asked["resourceArn"])
        for key in asked["tagKeys"]:
            tags.pop(key, None)
        return {}

    def _tags(self, arn: str) -> dict[str, str]:
        kind, _, name = arn.split(":", 5)[5].partition(":")
        with self._lock:
            if kind == "components":
                return self._components.at(arn).tags
            if kind == "deployments":
                return self._deployments.find(name).tags
            return self.devices.tags.setdefault(self.devices.find(name).thing, {})
