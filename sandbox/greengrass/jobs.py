"""Deployments' IoT jobs, by which devices get them: AWS IoT keeps who has one, rolls it out, and stops it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from sandbox.greengrass.arns import Arns, target_of
from sandbox.greengrass.deployments import Deployment, Job, document
from sandbox.greengrass.errors import NotFoundError, ValidationError

_MISSING = "ResourceNotFoundException"
_FINAL = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED"})


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What a device has of a job. `details` are what the nucleus said with its status."""

    job_id: str
    status: str
    details: dict[str, str]
    queued_at: datetime
    changed_at: datetime


class Jobs:
    """By an administrator's client of AWS IoT."""

    def __init__(self, iot: Callable[[], Any], arns: Arns) -> None:
        self._iot = iot
        self._arns = arns
        self._ended: dict[tuple[str, str], Execution] = {}

    def check_target(self, arn: str) -> None:
        """
        Raises:
            NotFoundError: there is no such thing or group.
        """
        kind, name = target_of(arn)
        try:
            if kind == "thing":
                self._iot().describe_thing(thingName=name)
            else:
                self._iot().describe_thing_group(thingGroupName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != _MISSING:
                raise
            raise NotFoundError(f"Target {arn} does not exist", kind, name) from error

    def create(self, deployment: Deployment) -> None:
        """
        Raises:
            ValidationError: AWS IoT does not take its configuration.
        """
        configuration = deployment.job_configuration
        options = {
            name: configuration[name]
            for name in ("jobExecutionsRolloutConfig", "abortConfig", "timeoutConfig")
            if name in configuration
        }
        try:
            self._iot().create_job(
                jobId=deployment.job_id,
                targets=[deployment.target_arn],
                document=document(deployment, self._arns),
                targetSelection="SNAPSHOT" if deployment.is_for_thing else "CONTINUOUS",
                **options,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidRequestException":
                raise
            raise ValidationError(f"Invalid Input: {error.response['Error']['Message']}") from error

    def state(self, job_id: str) -> Job:
        """How a job stands."""
        job = self._iot().describe_job(jobId=job_id)["job"]
        counts = job["jobProcessDetails"]
        failed = ("numberOfFailedThings", "numberOfRejectedThings", "numberOfTimedOutThings")
        return Job(status=job["status"], failed=sum(counts.get(name, 0) for name in failed))

    def cancel(self, job_id: str) -> None:
        """Devices that have begun go on; nothing is done if it is over."""
        if self.state(job_id).status == "IN_PROGRESS":
            self._iot().cancel_job(jobId=job_id)

    def executions(self, thing: str) -> Iterator[Execution]:
        """What a device has of all jobs, the newest first."""
        iot = self._iot()
        try:
            pages = list(iot.get_paginator("list_job_executions_for_thing").paginate(thingName=thing))
        except ClientError as error:
            if error.response["Error"]["Code"] != _MISSING:
                raise
            return
        summaries = [summary for page in pages for summary in page["executionSummaries"]]
        summaries.sort(key=lambda summary: summary["jobExecutionSummary"]["queuedAt"], reverse=True)
        for summary in summaries:
            yield self._ended.get((thing, summary["jobId"])) or self._execution(iot, thing, summary["jobId"])

    def _execution(self, iot: Any, thing: str, job_id: str) -> Execution:
        """One that has ended stays as it is, so it is asked for once."""
        described = iot.describe_job_execution(jobId=job_id, thingName=thing)["execution"]
        execution = Execution(
            job_id=job_id,
            status=described["status"],
            details=(described.get("statusDetails") or {}).get("detailsMap") or {},
            queued_at=described["queuedAt"],
            changed_at=described["lastUpdatedAt"],
        )
        if execution.status in _FINAL:
            self._ended[thing, job_id] = execution
        return execution

    def things_of(self, group_arn: str) -> set[str]:
        """The members of a thing group.

        Raises:
            NotFoundError: there is none.
        """
        self.check_target(group_arn)
        pages = (
            self._iot()
            .get_paginator("list_things_in_thing_group")
            .paginate(thingGroupName=target_of(group_arn)[1], recursive=True)
        )
        return {thing for page in pages for thing in page["things"]}
