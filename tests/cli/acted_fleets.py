"""A thing group whose core devices are acted: they take their IoT jobs, and report what came of them."""

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sandbox.embedded_aws import EmbeddedAws
from sandbox.greengrass.core_devices import CoreDevice, InstalledComponent

_POLL_S = 0.05

Details = Mapping[str, str]

BROKEN: Details = {
    "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
    "deployment-failure-cause": "Service com.example.Client in broken state after deployment",
    "deployment-error-stack": "DEPLOYMENT_FAILURE,COMPONENT_UPDATE_ERROR,COMPONENT_BROKEN",
    "deployment-error-types": "USER_COMPONENT_ERROR",
}


class ActedFleet:
    """For the time of a `with` block. Devices in `silent` take no job. One in `failing` fails each.

    Attributes:
        given: thing -> the documents of the jobs that it took, in their order.
    """

    def __init__(
        self,
        aws: EmbeddedAws,
        group: str,
        things: Sequence[str],
        *,
        runtime: Callable[[str], str] = lambda _: "aws_nucleus_classic",
    ) -> None:
        self.group = group
        self.things = things
        self.failing: Collection[str] = ()
        self.silent: Collection[str] = ()
        self.given: dict[str, list[Any]] = {thing: [] for thing in things}
        self._aws = aws
        self._runtime = runtime
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._act, name=f"acted-{group}")

    def __enter__(self) -> Self:
        iot = self._aws.client("iot")
        iot.create_thing_group(thingGroupName=self.group)
        for thing in self.things:
            iot.create_thing(thingName=thing)
            iot.add_thing_to_thing_group(thingGroupName=self.group, thingName=thing)
            self._report(thing, {})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _act(self) -> None:
        jobs = self._aws.client("iot-jobs-data")
        while not self._stopped.wait(_POLL_S):
            for thing in self.things:
                if thing not in self.silent:
                    for job in jobs.get_pending_job_executions(thingName=thing)["queuedJobs"]:
                        self._take(jobs, thing, job["jobId"])

    def _take(self, jobs: Any, thing: str, job_id: str) -> None:
        execution = jobs.describe_job_execution(jobId=job_id, thingName=thing, includeJobDocument=True)["execution"]
        document = json.loads(execution["jobDocument"])
        self.given[thing].append(document)
        if thing in self.failing:
            jobs.update_job_execution(jobId=job_id, thingName=thing, status="FAILED", statusDetails=BROKEN)
            return
        self._report(thing, {name: each["version"] for name, each in document["components"].items()})
        jobs.update_job_execution(jobId=job_id, thingName=thing, status="SUCCEEDED")

    def _report(self, thing: str, versions: Mapping[str, str]) -> None:
        now = datetime.now(UTC)
        components = tuple(
            InstalledComponent(
                name=name, version=version, state="RUNNING", is_root=True, changed_at=now, deployment=self.group
            )
            for name, version in versions.items()
        )
        self._aws.greengrass.devices.report(
            CoreDevice(
                thing=thing,
                nucleus="2.14.0",
                runtime=self._runtime(thing),
                platform="linux",
                architecture="aarch64",
                reported_at=now,
                components=components,
            )
        )
