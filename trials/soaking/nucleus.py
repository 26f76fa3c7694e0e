"""A nucleus at its IPC seam, with one shadow behind it, and all the troubles that a line and a broker have.

In turn it is like nucleus lite (it refuses to publish while the broker is away, leaves answered calls open, and does
not tell of reconnects) and like the classic one (it keeps what is published, sends it later, and tells). Some messages
are lost on their way, in both directions.
"""

import asyncio
import base64
import random
import secrets
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from protocol import names
from protocol.messages import Assignment, Progress
from sandbox.background_loop import BackgroundLoop
from sandbox.nucleus.ipc import Call, Handler, IpcError, IpcServer
from sandbox.nucleus.personality import LITE, Personality
from sandbox.shadows import Shadow
from trials.soaking.fast_clock import FastClock

COMPONENT = "com.fedgrass.Client"
THING = "soaked"
FEDERATION = "soak"
_LOST = {"update": 0.05, "get/accepted": 0.05, "update/delta": 0.2}
"""How likely a message on one of the shadow's topics is to get lost."""


class SoakNucleus:
    """Serves one component for the time of a `with` block. `seed` decides which messages get lost.

    Attributes:
        calls: how many calls it has had.
    """

    def __init__(self, socket: Path, configuration: dict[str, Any], clock: FastClock, seed: int) -> None:
        self.calls = 0
        self._configuration = configuration
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._online = True
        self._shadow = Shadow(clock.time)
        self._spool: list[tuple[str, bytes]] = []
        self._subscribers: defaultdict[str, list[Call]] = defaultdict(list)
        self._watchers: list[Call] = []
        self._changed = asyncio.Event()
        self._socket = socket
        self._become(LITE)

    def __enter__(self) -> Self:
        self._loop = BackgroundLoop("soak")
        self._loop.run(self._server.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(self._server.stop)
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a component that starts now finds in its environment."""
        return {
            "SVCUID": self._token,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self._socket),
            "AWS_IOT_THING_NAME": THING,
        }

    def want(self, *, assignment: Assignment | dict[str, Any] | None = None, withdrawn: int | None = None) -> None:
        """Update the desired half of the shadow, as the cloud does."""
        desired = msgspec.to_builtins({"assignment": assignment} if assignment else {"withdrawn": withdrawn})

        def update() -> None:
            self._shadow.update({"desired": desired})
            self._send_delta()

        self._do(update)

    def progress(self) -> Progress | None:
        """What the component has reported."""
        reported = self._shadow.reported.get("progress")
        return None if reported is None else msgspec.convert(reported, Progress)

    def agrees(self) -> bool:
        """Whether what is reported mirrors what is desired, so that no delta is left."""
        return not self._shadow.delta

    def wait_until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Return True as soon as the condition holds, looked at whenever the shadow changes; False after `limit_s`
        (of real time)."""
        try:
            self._loop.run(self._wait(condition), limit_s)
        except TimeoutError:
            return False
        return True

    def go_offline(self) -> None:
        """Lose the broker."""
        self._do(lambda: self._set_online(False))

    def go_online(self) -> None:
        """Find it again."""
        self._do(lambda: self._set_online(True))

    def fall_silent(self) -> None:
        """Forget who has subscribed, and leave the streams open, as nucleus lite does when its MQTT daemon restarts."""
        self._do(self._subscribers.clear)

    def go_down(self) -> None:
        """End, with all connections of components."""
        self._do(self._server.stop)

    def come_up(self, personality: Personality) -> None:
        """Start again, as this one, with another token for the component, and all that was in memory forgotten."""
        self._spool.clear()
        self._become(personality)
        self._loop.run(self._server.start())

    def _become(self, personality: Personality) -> None:
        self._personality = personality
        self._token = secrets.token_hex(16)
        handlers: dict[str, Handler] = {
            "GetConfiguration": self._get_configuration,
            "PublishToIoTCore": self._publish,
            "SubscribeToIoTCore": self._subscribe,
            "SubscribeToIoTCoreConnectionStatus": self._watch_connection,
        }
        for name in personality.operations.missing:
            handlers.pop(name, None)
        self._server = IpcServer(
            self._socket, lambda token: COMPONENT if token == self._token else None, handlers, personality.ipc
        )

    def _do(self, act: Callable[[], None]) -> None:
        async def call() -> None:
            act()

        self._loop.run(call())

    async def _wait(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _set_online(self, online: bool) -> None:
        self._online = online
        if online:
            spooled, self._spool = self._spool, []
            for topic, payload in spooled:
                self._pass_on(topic, payload)
        for call in self._watchers:
            status = "CONNECTED" if online else "DISCONNECTED"
            call.send_event("IoTCoreConnectionStatusEvent", {"connectionStatusEvent": {"status": status}})

    async def _get_configuration(self, call: Call) -> None:
        self.calls += 1
        call.respond({"componentName": COMPONENT, "value": self._configuration})

    async def _subscribe(self, call: Call) -> None:
        self.calls += 1
        if not self._online:
            raise IpcError("ServiceError", "no connection")
        subscribers = self._subscribers[call.request["topicName"]]
        call.respond(more=True)
        subscribers.append(call)
        call.when_closed(lambda: subscribers.remove(call))

    async def _watch_connection(self, call: Call) -> None:
        self.calls += 1
        call.respond(more=True)
        self._watchers.append(call)
        call.when_closed(lambda: self._watchers.remove(call))

    async def _publish(self, call: Call) -> None:
        self.calls += 1
        if self._personality is LITE and not self._online:
            raise IpcError("ServiceError", "no connection")
        call.respond()
        message = call.request["topicName"], base64.b64decode(call.request["payload"])
        if self._online:
            self._pass_on(*message)
        else:
            self._spool.append(message)

    def _pass_on(self, topic: str, payload: bytes) -> None:
        if topic == _topic("get"):
            self._send("get/accepted", self._shadow.document())
        elif topic == _topic("update") and not self._is_lost("update"):
            self._shadow.update(msgspec.json.decode(payload)["state"])
            self._send_delta()

    def _send_delta(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        if self._shadow.delta:
            self._send("update/delta", self._shadow.delta_message())

    def _send(self, operation: str, payload: bytes) -> None:
        if not self._online or self._is_lost(operation):
            return
        message = {"topicName": _topic(operation), "payload": base64.b64encode(payload).decode()}
        for call in self._subscribers[_topic(operation)]:
            call.send_event("IoTCoreMessage", {"message": message})

    def _is_lost(self, operation: str) -> bool:
        return self._random.random() < _LOST[operation]


def _topic(operation: str) -> str:
    return names.shadow_topic(FEDERATION, THING, operation)
