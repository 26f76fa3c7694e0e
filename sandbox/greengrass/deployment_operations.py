"""The API's operations on deployments."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from sandbox.greengrass.arns import Arns
from sandbox.greengrass.components import Components
from sandbox.greengrass.deployments import Deployment, Deployments
from sandbox.greengrass.errors import NotFoundError
from sandbox.greengrass.jobs import Jobs
from sandbox.greengrass.operations import Operation, Parameters, Result, page


class DeploymentOperations:
    """Each deployment is an IoT job."""

    def __init__(
        self, deployments: Deployments, components: Components, jobs: Jobs, arns: Arns, lock: threading.RLock
    ) -> None:
        self._deployments = deployments
        self._components = components
        self._jobs = jobs
        self._arns = arns
        self._lock = lock

    @property
    def operations(self) -> Mapping[str, Operation]:
        """By their names."""
        return {
            "CreateDeployment": self._create_deployment,
            "GetDeployment": self._get_deployment,
            "ListDeployments": self._list_deployments,
            "CancelDeployment": self._cancel_deployment,
            "DeleteDeployment": self._delete_deployment,
        }

    def _create_deployment(self, asked: Parameters) -> Result:
        with self._lock:  # as long as it takes: of two for one target, one replaces the other
            deployment = self._deployments.draft(asked, datetime.now(UTC))
            self._jobs.check_target(deployment.target_arn)
            for name, specification in deployment.components.items():
                version = specification["componentVersion"]
                if self._components.find(name, version) is None:
                    raise NotFoundError(f"Component {name} has no version {version}", "component", f"{name}:{version}")
            self._jobs.create(deployment)
            before = self._deployments.latest_of(deployment.target_arn)
            self._deployments.add(deployment)
            if before is not None:
                self._jobs.cancel(before.job_id)
        return {
            "deploymentId": deployment.id,
            "iotJobId": deployment.job_id,
            "iotJobArn": self._arns.job(deployment.job_id),
        }

    def _get_deployment(self, asked: Parameters) -> Result:
        with self._lock:
            deployment = self._deployments.find(asked["deploymentId"])
            return self._summary(deployment) | {
                "iotJobId": deployment.job_id,
                "iotJobArn": self._arns.job(deployment.job_id),
                "components": deployment.components,
                "deploymentPolicies": deployment.policies,
                "iotJobConfiguration": deployment.job_configuration,
                "tags": deployment.tags,
            }

    def _list_deployments(self, asked: Parameters) -> Result:
        with self._lock:
            found = [
                deployment
                for deployment in self._deployments.newest_first()
                if asked.get("targetArn") in {None, deployment.target_arn}
                and asked.get("parentTargetArn") in {None, deployment.parent_target_arn}
                and (asked.get("historyFilter") == "ALL" or self._deployments.is_latest(deployment))
            ]
            found_page = page("deployments", found, asked)
            return found_page | {"deployments": [self._summary(one) for one in found_page["deployments"]]}

    def _cancel_deployment(self, asked: Parameters) -> Result:
        with self._lock:
            identifier = asked["deploymentId"]
            status = self._status(self._deployments.find(identifier))
            self._jobs.cancel(self._deployments.cancel(identifier, status).job_id)
        return {"message": "SUCCESS"}

    def _delete_deployment(self, asked: Parameters) -> Result:
        with self._lock:
            identifier = asked["deploymentId"]
            self._deployments.remove(identifier, self._status(self._deployments.find(identifier)))
        return {}

    def _summary(self, deployment: Deployment) -> Result:
        return {
            "targetArn": deployment.target_arn,
            "parentTargetArn": deployment.parent_target_arn,
            "revisionId": str(deployment.revision),
            "deploymentId": deployment.id,
            "deploymentName": deployment.name,
            "creationTimestamp": deployment.created_at,
            "deploymentStatus": self._status(deployment),
            "isLatestForTarget": self._deployments.is_latest(deployment),
        }

    def _status(self, deployment: Deployment) -> str:
        return self._deployments.status(deployment, self._jobs.state(deployment.job_id))
