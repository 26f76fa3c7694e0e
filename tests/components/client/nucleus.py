"""A nucleus for one component: a real IPC server on a real socket, with a shadow behind it that keeps AWS's rules."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from protocol import names
from sandbox.nucleus.ipc import Call, Handler, IpcError, IpcServer
from sandbox.nucleus.personality import CLASSIC, Personality
from sandbox.shadows import Shadow

THING = "device-1"
FEDERATION = "digits"
TOKEN = "token-of-the-component"  # noqa: S105
TIMEOUT_S = 240.0


class Nucleus:
    """Serves the agent from a thread. All that is published is in `published`; `lose` says what gets lost.
    `refusals` are the answers to the next subscriptions and publications, `refused_subscriptions` to subscriptions
    alone, `withheld` to the next questions for the configuration."""

    def __init__(
        self,
        socket: Path,
        configuration: dict[str, Any],
        personality: Personality = CLASSIC,
        lacks: tuple[str, ...] = (),
    ) -> None:
        self.configuration = configuration
        self.shadow: Shadow | None = None
        self.published: list[tuple[str, Any]] = []
        self.lose: Callable[[str, Any], bool] = lambda _topic, _message: False
        self.refusals: list[IpcError] = []
        self.withheld: list[IpcError] = []
        self.refused_subscriptions: list[IpcError] = []
        self.open_streams = 0
        self.subscription_streams = 0
        self.states: list[str] = []
        self.deferrals: list[tuple[str, int]] = []
        self._watching: dict[str, Call] = {}
        self._changed = threading.Condition()
        self._subscribers: dict[str, list[Call]] = {}
        handlers: dict[str, Handler] = {
            "GetConfiguration": self._get_configuration,
            "SubscribeToIoTCore": self._subscribe,
            "PublishToIoTCore": self._publish,
            "UpdateState": self._update_state,
            "SubscribeToConfigurationUpdate": self._watch_configuration,
            "SubscribeToComponentUpdates": self._watch_deployments,
            "DeferComponentUpdate": self._defer,
        }
        for operation in lacks:
            del handlers[operation]
        self.server = IpcServer(
            socket, lambda token: "com.fedgrass.Client" if token == TOKEN else None, handlers, personality.ipc
        )
        self.loop = asyncio.new_event_loop()

    @contextlib.contextmanager
    def running(self) -> Iterator["Nucleus"]:
        thread = threading.Thread(target=self.loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(TIMEOUT_S)
        try:
            yield self
        finally:
            self.disconnect()
            self.loop.call_soon_threadsafe(self.loop.stop)
            thread.join()
            self.loop.close()

    def environment(self) -> dict[str, str]:
        return {
            "SVCUID": TOKEN,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.server.path),
            "AWS_IOT_THING_NAME": THING,
        }

    def disconnect(self) -> None:
        """Goes away, as a nucleus that restarts."""

        async def stop() -> None:
            self.server.stop()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(TIMEOUT_S)

    def come_back(self) -> None:
        """Takes connections again, as a nucleus that has restarted."""
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(TIMEOUT_S)

    def want(self, desired: dict[str, Any], *, tell: bool = True) -> None:
        """Updates the desired half, as the cloud does; without `tell` the delta gets lost."""

        def update() -> None:
            self.shadow = self.shadow or Shadow()
            self.shadow.update({"desired": desired})
            if tell:
                self._send_delta()

        self.loop.call_soon_threadsafe(update)

    def wait_until(self, condition: Callable[["Nucleus"], Any]) -> Any:
        """The first true value of `condition`, looked at whenever something was published or subscribed."""
        with self._changed:
            value = self._changed.wait_for(lambda: condition(self), TIMEOUT_S)
        assert value, f"did not happen; published: {self.published}"
        return value

    def reported(self, field: str, **expected: Any) -> Any:
        """The reported field, if it has these values, for `wait_until`."""
        value = self.shadow.reported.get(field) if self.shadow else None
        matches = isinstance(value, dict) and all(value.get(key) == wanted for key, wanted in expected.items())
        return value if matches else None

    def messages(self, operation: str) -> list[Any]:
        """What was published on one of the shadow's topics."""
        topic = names.shadow_topic(FEDERATION, THING, operation)
        return [message for name, message in self.published if name == topic]

    def configure(self, **changes: Any) -> None:
        """Changes the configuration, as a deployment does: one key after the other, each with an event for a component
        that watches."""

        def change() -> None:
            for key, value in changes.items():
                self.configuration[key] = value
                event = {"componentName": "com.fedgrass.Client", "keyPath": [key]}
                if "configuration" in self._watching:
                    self._watching["configuration"].send_event(
                        "ConfigurationUpdateEvents", {"configurationUpdateEvent": event}
                    )

        self.loop.call_soon_threadsafe(change)

    def watches_configuration(self) -> bool:
        """Whether the component would be told of a change."""
        return "configuration" in self._watching

    def restart_mqtt_daemon(self) -> None:
        """Forgets the subscriptions, as nucleus lite does then: their streams stay open."""
        self._forget(self._subscribers)

    def restart_configuration_daemon(self) -> None:
        """Forgets who watches the configuration, in the same way."""
        self._forget(self._watching)

    def _forget(self, known: dict[str, Any]) -> None:
        async def forget() -> None:
            known.clear()

        asyncio.run_coroutine_threadsafe(forget(), self.loop).result(TIMEOUT_S)

    def deploy(self, deployment: str) -> None:
        """Asks whether a deployment may stop components."""
        event = {"preUpdateEvent": {"deploymentId": deployment, "isGgcRestarting": False}}
        self.wait_until(lambda nucleus: "deployments" in nucleus._watching)
        self.loop.call_soon_threadsafe(
            lambda: self._watching["deployments"].send_event("ComponentUpdatePolicyEvents", event)
        )

    async def _update_state(self, call: Call) -> None:
        call.respond({})
        with self._changed:
            self.states.append(call.request["state"])
            self._changed.notify_all()

    async def _watch_configuration(self, call: Call) -> None:
        await self._watch("configuration", call)

    async def _watch_deployments(self, call: Call) -> None:
        await self._watch("deployments", call)

    async def _watch(self, what: str, call: Call) -> None:
        call.respond(more=True)
        with self._changed:
            self._watching[what] = call
            self._changed.notify_all()

    async def _defer(self, call: Call) -> None:
        call.respond({})
        with self._changed:
            self.deferrals.append((call.request["deploymentId"], call.request["recheckAfterMs"]))
            self._changed.notify_all()

    async def _get_configuration(self, call: Call) -> None:
        if self.withheld:
            raise self.withheld.pop(0)
        call.respond({"componentName": call.component, "value": self.configuration})

    async def _subscribe(self, call: Call) -> None:
        self._refuse_next(self.refused_subscriptions)
        self._refuse_next(self.refusals)
        topic = call.request["topicName"]
        call.respond(more=True)
        call.when_closed(self._count_closed_subscription)
        with self._changed:
            self.subscription_streams += 1
            self._subscribers.setdefault(topic, []).append(call)
            self._changed.notify_all()

    def _count_closed_subscription(self) -> None:
        with self._changed:
            self.subscription_streams -= 1
            self._changed.notify_all()

    @property
    def subscribed(self) -> set[str]:
        """The topics of which the component hears."""
        return {topic for topic, calls in self._subscribers.items() if any(not call.closed for call in calls)}

    def _refuse_next(self, refusals: list[IpcError]) -> None:
        if refusals:
            with self._changed:
                refusal = refusals.pop(0)
                self._changed.notify_all()
            raise refusal

    async def _publish(self, call: Call) -> None:
        self._refuse_next(self.refusals)
        self.open_streams += 1
        call.when_closed(self._count_closed)
        # As on nucleus lite, the stream of an answered call is left open.
        call.respond(more=True)
        topic = call.request["topicName"]
        raw = base64.b64decode(call.request["payload"])
        message = msgspec.json.decode(raw)
        with self._changed:
            self.published.append((topic, message))
            if not self.lose(topic, message):
                self._serve(topic, message)
            self._changed.notify_all()

    def _serve(self, topic: str, message: Any) -> None:
        def shadow_topic(operation: str) -> str:
            return names.shadow_topic(FEDERATION, THING, operation)

        if topic == shadow_topic("get"):
            if self.shadow is None:
                self._send(shadow_topic("get/rejected"), b'{"code":404,"message":"No shadow exists"}')
            else:
                self._send(shadow_topic("get/accepted"), self.shadow.document())
        elif topic == shadow_topic("update"):
            self.shadow = self.shadow or Shadow()
            self.shadow.update(message["state"])
            self._send_delta()

    def _send_delta(self) -> None:
        assert self.shadow is not None
        if self.shadow.delta:
            self._send(names.shadow_topic(FEDERATION, THING, "update/delta"), self.shadow.delta_message())

    def _send(self, topic: str, payload: bytes) -> None:
        message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
        for call in self._subscribers.get(topic, []):
            call.send_event("IoTCoreMessage", {"message": message})

    def _count_closed(self) -> None:
        with self._changed:
            self.open_streams -= 1
            self._changed.notify_all()
