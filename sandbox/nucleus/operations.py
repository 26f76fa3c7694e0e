"""The IPC operations of the stand-in nucleus: what each checks, does and answers.

Those that the client component may use are here. What a nucleus does not have is a ServiceError, which is also what
the stand-in says to the rest: shadows, secrets, metrics, pausing.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from sandbox.nucleus.authorization import MQTT_PROXY, authorize
from sandbox.nucleus.component_updates import Updates
from sandbox.nucleus.configuration import Configuration, UnknownKeyError
from sandbox.nucleus.ipc import Call, Handler, IpcError
from sandbox.nucleus.mqtt import MqttConnection
from sandbox.nucleus.sending import MqttError


class Device(Protocol):
    """What operations need of the device that they run on."""

    thing: str
    updates: Updates

    @property
    def mqtt(self) -> MqttConnection: ...

    def configuration(self, component: str) -> Configuration | None:
        """The configuration of a component, None if it isn't deployed."""

    def report_state(self, component: str, state: str) -> None:
        """A component says that it is RUNNING or ERRORED."""


class OperationTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the nuclei do differently: the operations they lack; what they say when access control refuses; the error
    that stands for a wrong argument; the qualities of service that they take, with what they make of them; whether a
    message may lack its payload; and whether they see to it that nothing is published to a wildcard, for which AWS IoT
    ends the connection."""

    missing: frozenset[str]
    unauthorized: str
    bad_argument: str
    qualities: Mapping[str | None, int]
    payload_may_be_missing: bool
    refuses_wildcards: bool


class Operations:
    """The operations, for the components of one device."""

    def __init__(self, device: Device, traits: OperationTraits) -> None:
        self._device = device
        self._traits = traits

    @property
    def handlers(self) -> dict[str, Handler]:
        """Each operation that the nucleus has, by name."""
        handlers: dict[str, Handler] = {
            "PublishToIoTCore": self._publish_to_iot_core,
            "SubscribeToIoTCore": self._subscribe_to_iot_core,
            "SubscribeToIoTCoreConnectionStatus": self._subscribe_to_connection_status,
            "GetConfiguration": self._get_configuration,
            "UpdateConfiguration": self._update_configuration,
            "SubscribeToConfigurationUpdate": self._subscribe_to_configuration_update,
            "UpdateState": self._update_state,
            "SubscribeToComponentUpdates": self._subscribe_to_component_updates,
            "DeferComponentUpdate": self._defer_component_update,
        }
        return {name: handler for name, handler in handlers.items() if name not in self._traits.missing}

    async def _publish_to_iot_core(self, call: Call) -> None:
        topic = self._text(call, "topicName")
        qos = self._quality(call)
        try:
            payload = base64.b64decode(self._payload(call), validate=True)
        except binascii.Error as error:
            raise self._wrong(f"payload is not base64: {error}") from error
        if self._traits.refuses_wildcards and ("+" in topic or "#" in topic):
            raise self._wrong(f"topic {topic} has a wildcard: nothing can be published to it")
        self._authorize(call, topic)
        try:
            await self._device.mqtt.publish(topic, payload, qos)
        except MqttError as error:
            raise IpcError("ServiceError", str(error)) from error
        call.respond()

    async def _subscribe_to_iot_core(self, call: Call) -> None:
        topic_filter = self._text(call, "topicName")
        qos = self._quality(call)
        self._authorize(call, topic_filter)
        try:
            await self._device.mqtt.subscribe(topic_filter, qos)
        except MqttError as error:
            raise IpcError("ServiceError", str(error)) from error

        def deliver(topic: str, payload: bytes) -> None:
            message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
            call.send_event("IoTCoreMessage", {"message": message})

        # An event before the answer breaks the client, so a message in between is lost, as with the real nucleus.
        call.respond(more=True)
        call.when_closed(self._device.mqtt.add_listener(topic_filter, qos, deliver))

    async def _subscribe_to_connection_status(self, call: Call) -> None:
        def tell(connected: bool) -> None:
            status = {"status": "CONNECTED" if connected else "DISCONNECTED"}
            call.send_event("IoTCoreConnectionStatusEvent", {"connectionStatusEvent": status})

        # It tells nothing of any topic, and needs no rule. The first event is how things stand.
        call.respond(more=True)
        tell(self._device.mqtt.connected)
        call.when_closed(self._device.mqtt.watch(tell))

    async def _get_configuration(self, call: Call) -> None:
        name = call.request.get("componentName") or call.component
        path = self._path(call)
        try:
            value = self._configuration(name).get(path)
        except UnknownKeyError as error:
            raise IpcError("ResourceNotFoundError", f"{name} has no configuration key {'/'.join(path)}") from error
        call.respond({"componentName": name, "value": value if isinstance(value, dict) else {path[-1]: value}})

    async def _update_configuration(self, call: Call) -> None:
        values = call.request.get("valueToMerge")
        if not isinstance(values, dict):
            raise self._wrong(f"valueToMerge is {values!r}, not an object")
        path = self._path(call)
        if "accessControl" in (*path[:1], *(values if not path else ())):
            raise self._wrong("a component can't change its accessControl")
        self._configuration(call.component).merge(path, values)
        call.respond()

    async def _subscribe_to_configuration_update(self, call: Call) -> None:
        name = call.request.get("componentName") or call.component
        configuration = self._configuration(name)

        def tell(path: Sequence[str]) -> None:
            event = {"componentName": name, "keyPath": list(path)}
            call.send_event("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

        call.respond(more=True)
        call.when_closed(configuration.listen(self._path(call), tell))

    async def _update_state(self, call: Call) -> None:
        state = call.request.get("state")
        if state not in {"RUNNING", "ERRORED"}:
            raise self._wrong(f"state is {state!r}: a component reports RUNNING or ERRORED")
        call.respond()
        self._device.report_state(call.component, state)

    async def _subscribe_to_component_updates(self, call: Call) -> None:
        def notify(event: dict[str, Any]) -> None:
            call.send_event("ComponentUpdatePolicyEvents", event)

        call.respond(more=True)
        call.when_closed(self._device.updates.subscribe(call.component, notify))

    async def _defer_component_update(self, call: Call) -> None:
        deployment = self._text(call, "deploymentId")
        recheck_after_s = (call.request.get("recheckAfterMs") or 0) / 1000
        if not self._device.updates.defer(call.component, deployment, recheck_after_s):
            raise self._wrong("only a component that subscribed to updates can defer one")
        call.respond()

    def _authorize(self, call: Call, resource: str) -> None:
        rules = self._configuration(call.component).values
        refusal = self._traits.unauthorized.replace("{component}", call.component)
        authorize(rules, MQTT_PROXY, call.operation, resource, refusal)

    def _configuration(self, component: str) -> Configuration:
        configuration = self._device.configuration(component)
        if configuration is None:
            raise IpcError("ResourceNotFoundError", f"component {component} is not on this device")
        return configuration

    def _wrong(self, text: str) -> IpcError:
        return IpcError(self._traits.bad_argument, text)

    def _text(self, call: Call, field: str) -> str:
        value = call.request.get(field)
        if not isinstance(value, str) or not value:
            raise self._wrong(f"{field} of {call.operation} is {value!r}, not a text")
        return value

    def _payload(self, call: Call) -> str:
        value = call.request.get("payload", "" if self._traits.payload_may_be_missing else None)
        if not isinstance(value, str):
            raise self._wrong(f"payload of {call.operation} is {value!r}, not a text")
        return value

    def _quality(self, call: Call) -> int:
        value = call.request.get("qos")
        if value not in self._traits.qualities:
            raise self._wrong(f"qos of {call.operation} is {value!r}: use '0' or '1'")
        return self._traits.qualities[value]

    def _path(self, call: Call) -> list[str]:
        path = call.request.get("keyPath") or []
        if not isinstance(path, list):
            raise self._wrong(f"keyPath of {call.operation} is {path!r}, not a list")
        return [str(key) for key in path]
