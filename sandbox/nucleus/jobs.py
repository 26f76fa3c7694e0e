"""How a device gets its deployments: IoT jobs, over its own connection.

What is heard is a reason to look: `$next/get`, asked at each connection and after each job, is what there is to do.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from sandbox.nucleus.deployment_document import DeploymentDocument
from sandbox.nucleus.deployments import Outcome, failed
from sandbox.nucleus.mqtt import MqttConnection
from sandbox.nucleus.sending import MqttError

logger = logging.getLogger(__name__)

ANSWER_LIMIT_S = 60.0

CarryOut = Callable[[DeploymentDocument], Awaitable[Outcome]]


class Jobs:
    """Of one device, for as long as it has this connection. `untold` has the ends of jobs that AWS IoT has not
    confirmed to know of; it outlives this."""

    def __init__(self, mqtt: MqttConnection, carry_out: CarryOut, untold: dict[str, Outcome]) -> None:
        self._mqtt = mqtt
        self._carry_out = carry_out
        self._untold = untold
        self._prefix = f"$aws/things/{mqtt.thing}/jobs"
        self._answers: dict[str, asyncio.Future[bool]] = {}
        self._task: asyncio.Task[None] | None = None
        self._talk: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen, and ask at each connection."""
        self._mqtt.add_listener(f"{self._prefix}/notify-next", 1, self._on_next)
        self._mqtt.add_listener(f"{self._prefix}/$next/get/accepted", 1, self._on_next)
        self._mqtt.add_listener(f"{self._prefix}/+/update/+", 1, self._on_update)
        self._mqtt.watch(self._on_connection)

    async def stop(self) -> None:
        """Leave what is under way as it is."""
        tasks = [*self._talk, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_connection(self, connected: bool) -> None:
        if connected:
            self._begin(self._look())

    def _on_next(self, _topic: str, payload: bytes) -> None:
        execution = json.loads(payload).get("execution")
        if execution and self._task is None and execution["jobId"] not in self._untold:
            self._task = asyncio.get_running_loop().create_task(self._without_failing(self._work(execution)))
            self._task.add_done_callback(self._on_done)

    def _on_update(self, topic: str, _payload: bytes) -> None:
        *_, job_id, _update, verdict = topic.split("/")
        answer = self._answers.get(job_id)
        if answer is not None and not answer.done():
            answer.set_result(verdict == "accepted")

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            self._begin(self._look())

    async def _look(self) -> None:
        for job_id in [*self._untold]:
            await self._tell(job_id)
        await self._mqtt.publish(f"{self._prefix}/$next/get", b"{}", 1)

    async def _work(self, execution: dict[str, Any]) -> None:
        job_id = execution["jobId"]
        if execution["status"] == "QUEUED" and not await self._update(job_id, {"status": "IN_PROGRESS"}):
            return
        try:
            document = msgspec.convert(execution["jobDocument"], DeploymentDocument)
        except msgspec.ValidationError as error:
            self._untold[job_id] = failed(
                "FAILED_NO_STATE_CHANGE", error, "REQUEST_ERROR", "DEPLOYMENT_DOCUMENT_INVALID"
            )
            return
        self._untold[job_id] = await self._carry_out(document)

    async def _tell(self, job_id: str) -> None:
        outcome = self._untold[job_id]
        await self._update(job_id, {"status": outcome.status, "statusDetails": dict(outcome.details)})
        self._untold.pop(job_id, None)

    async def _update(self, job_id: str, update: dict[str, Any]) -> bool:
        """Whether AWS IoT has taken a status."""
        answer = self._answers[job_id] = asyncio.get_running_loop().create_future()
        try:
            await self._mqtt.publish(f"{self._prefix}/{job_id}/update", json.dumps(update).encode(), 1)
            async with asyncio.timeout(ANSWER_LIMIT_S):
                taken: bool = await answer
                return taken
        finally:
            del self._answers[job_id]

    def _begin(self, talk: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._without_failing(talk))
        self._talk.add(task)
        task.add_done_callback(self._talk.discard)

    async def _without_failing(self, talk: Any) -> None:
        try:
            await talk
        except (MqttError, TimeoutError) as error:  # the next connection is another try
            logger.info("%s: jobs: %s", self._mqtt.thing, error)
