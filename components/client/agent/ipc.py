"""Greengrass IPC, as far as the agent needs it: whatever happens arrives as an event at one place.

The IPC client never reconnects, and on nucleus lite a token is forgotten when the nucleus restarts: when the
connection or a subscription closes, the only remedy is to exit, and be started anew by the nucleus.
"""

import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from awscrt.exceptions import AwsCrtError
from awsiot import greengrasscoreipc
from awsiot.eventstreamrpc import EventStreamError, LifecycleHandler
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger(__name__)

ANSWER_S = 10.0
_ERRORS = (AwsCrtError, EventStreamError, RuntimeError, TimeoutError)
"""What the client raises: failures of the socket, of the protocol, of an operation or its stream, and no answer."""


class IpcError(Exception):
    """The nucleus refused a call, or did not answer it in time."""


class Received(msgspec.Struct, frozen=True):
    """A message on a subscribed topic."""

    topic: str
    payload: bytes


class Outcome(msgspec.Struct, frozen=True):
    """How `publish` ended; `error` is None if the nucleus took the message."""

    ticket: int
    error: str | None


class LineChanged(msgspec.Struct, frozen=True):
    """The device's MQTT connection has come, or gone."""

    connected: bool


class ConfigurationChanged(msgspec.Struct, frozen=True):
    """A deployment has changed this component's configuration."""


class Deploying(msgspec.Struct, frozen=True):
    """A deployment is about to stop components, and asks whether it may: `Ipc.defer` answers."""

    deployment: str


class Lost(msgspec.Struct, frozen=True):
    """The connection to the nucleus, or a subscription, has closed."""

    reason: str


Event = Received | Outcome | LineChanged | ConfigurationChanged | Deploying | Lost


class _Lifecycle(LifecycleHandler):  # type: ignore[misc]
    def __init__(self, post: Callable[[Event], None]) -> None:
        self._post = post

    def on_disconnect(self, reason: Exception | None) -> None:
        self._post(Lost(f"connection closed: {reason}"))


class Ipc:
    """A connection to the nucleus. `post` is called with each event, on another thread: it must not block."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        """Connects, by the environment that the nucleus gives a component.

        Raises:
            IpcError: no nucleus answers, or it does not know this component.
        """
        self._post = post
        try:
            connection = greengrasscoreipc.connect(lifecycle_handler=_Lifecycle(post), timeout=ANSWER_S)
        except (KeyError, *_ERRORS) as error:
            raise IpcError(f"cannot connect to the nucleus: {describe(error)}") from error
        # Without an executor callbacks run on the network thread, in order, and no pool of threads is kept.
        self._client = GreengrassCoreIPCClientV2(connection, executor=None)
        self._streams: dict[str, Any] = {}
        self._renewals: dict[str, Any] = {}
        self._replaced: weakref.WeakSet[Any] = weakref.WeakSet()

    def close(self) -> None:
        """Closes the connection, without waiting for it."""
        self._client.close()

    def configuration(self) -> dict[str, Any]:
        """This component's configuration.

        Raises:
            IpcError: the nucleus does not give it.
        """
        operation = self._client.client.new_get_configuration()
        try:
            operation.activate(model.GetConfigurationRequest())
            value = operation.get_response().result(ANSWER_S).value
        except _ERRORS as error:
            raise IpcError(describe(error)) from error
        finally:
            operation.close()  # which nucleus lite does not, and the client would keep it
        return value if isinstance(value, dict) else {}

    def subscribe(self, topic: str) -> None:
        """Posts `Received` for each message on an AWS IoT Core topic, and `Lost` when that ends.

        Raises:
            IpcError: the nucleus refused.
        """
        self._wait_for(topic, *self._subscribe(topic))

    def renew(self, topic: str) -> None:
        """Subscribes to a topic again, without waiting. The stream that there was ends when the new one is there, so
        that the nucleus and the client keep one a topic; until then messages may come twice."""

        def on_response(response: "Future[Any]") -> None:
            if self._renewals.get(topic) is not operation:
                return  # a later one has taken its place
            del self._renewals[topic]
            error = response.exception()
            if error is not None:
                log.warning("cannot subscribe", extra={"topic": topic, "error": describe(error)})
                return
            self._replace(topic, operation)

        if (unanswered := self._renewals.pop(topic, None)) is not None:
            self._drop(unanswered)
        try:
            future, operation = self._subscribe(topic)
        except _ERRORS as error:
            log.warning("cannot subscribe", extra={"topic": topic, "error": describe(error)})
            return
        self._renewals[topic] = operation
        future.add_done_callback(on_response)

    def watch_connection(self) -> None:
        """Posts `LineChanged` when the device's MQTT connection comes or goes. A nucleus that cannot tell is noted in
        the log: then a reconnect is noticed by the next delta, or when the shadow is next reconciled."""
        self._watch(
            "connection",
            self._client.subscribe_to_iot_core_connection_status_async,
            self._on_status,
            "this nucleus does not tell of reconnects",
        )

    def watch_configuration(self) -> None:
        """Posts `ConfigurationChanged` when this component's configuration has changed; once or more for each change. A
        nucleus that cannot tell is noted in the log."""
        self._watch(
            "configuration",
            self._client.subscribe_to_configuration_update_async,
            lambda _event: self._post(ConfigurationChanged()),
            "this nucleus does not tell of changes of the configuration",
        )

    def watch_deployments(self) -> None:
        """Posts `Deploying` when a deployment asks whether it may stop components. A nucleus that does not ask is noted
        in the log: then one may stop training at any time, which goes on from its checkpoint."""
        self._watch(
            "deployments",
            self._client.subscribe_to_component_updates_async,
            self._on_update,
            "this nucleus does not ask before it updates components",
        )

    def publish(self, topic: str, payload: bytes, ticket: int) -> None:
        """Hands a message to the nucleus, without waiting: `Outcome` with this ticket tells how it went."""
        self._send(
            self._client.client.new_publish_to_iot_core,
            model.PublishToIoTCoreRequest(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload),
            lambda error: self._post(Outcome(ticket, error)),
        )

    def defer(self, deployment: str, recheck_after_ms: int) -> None:
        """Has a deployment ask again after this time; 0 lets it go on. Without waiting for an answer."""
        self._send(
            self._client.client.new_defer_component_update,
            model.DeferComponentUpdateRequest(
                deployment_id=deployment, message="a round is under way", recheck_after_ms=recheck_after_ms
            ),
            lambda error: _complain("cannot answer a deployment", error),
        )

    def say_running(self) -> None:
        """Tells the nucleus that this component is at work, without waiting for an answer."""
        self._send(
            self._client.client.new_update_state,
            model.UpdateStateRequest(state=model.ReportedLifecycleState.RUNNING),
            lambda error: _complain("this nucleus does not take the component's state", error),
        )

    def _subscribe(self, topic: str) -> tuple["Future[Any]", Any]:
        future: Future[Any]
        operation: Any
        future, operation = self._client.subscribe_to_iot_core_async(
            topic_name=topic,
            qos=model.QOS.AT_LEAST_ONCE,
            on_stream_event=lambda event: self._post(Received(event.message.topic_name, event.message.payload or b"")),
            on_stream_error=_keep_open,
            on_stream_closed=lambda: self._on_closed(topic, future, operation),
        )
        return future, operation

    def _watch(
        self,
        what: str,
        subscribe: Callable[..., tuple["Future[Any]", Any]],
        on_event: Callable[[Any], None],
        without: str,
    ) -> None:
        """Has events of the nucleus posted, if it has them; else `without` is what the log says."""
        try:
            self._wait_for(what, *subscribe(on_stream_event=on_event, on_stream_error=_keep_open))
        except IpcError as error:
            log.info(without, extra={"error": error})

    def _wait_for(self, stream: str, future: "Future[Any]", operation: Any) -> None:
        """Puts a stream in the place of the one that there was, once the nucleus has agreed to it."""
        try:
            future.result(ANSWER_S)
        except _ERRORS as error:
            operation.close()  # or an answer that comes late would make it a second subscription
            raise IpcError(describe(error)) from error
        self._replace(stream, operation)

    def _replace(self, stream: str, operation: Any) -> None:
        """Puts an operation in the place of the one that there was, which ends: the client would keep it for ever."""
        old, self._streams[stream] = self._streams.get(stream), operation
        if old is not None:
            self._drop(old)

    def _drop(self, operation: Any) -> None:
        self._replaced.add(operation)
        operation.close()

    def _send(self, new: Callable[[], Any], request: Any, on_answer: Callable[[str | None], None]) -> None:
        """Calls an operation without waiting; `on_answer` is given its error, None if there was none."""

        def on_response(response: "Future[Any]") -> None:
            # Nucleus lite leaves the stream of an answered call open, and the client keeps what belongs to it.
            operation.close()
            error = response.exception()
            on_answer(None if error is None else describe(error))

        try:
            operation = new()
            operation.activate(request)
        except _ERRORS as error:
            on_answer(describe(error))
            return
        operation.get_response().add_done_callback(on_response)

    def _on_update(self, event: model.ComponentUpdatePolicyEvents) -> None:
        asked = event.pre_update_event
        if asked is not None and asked.deployment_id is not None:
            self._post(Deploying(asked.deployment_id))

    def _on_status(self, event: model.IoTCoreConnectionStatusEvent) -> None:
        change = event.connection_status_event
        if change is not None:
            self._post(LineChanged(change.status == model.ConnectionStatus.CONNECTED))

    def _on_closed(self, topic: str, response: "Future[Any]", operation: Any) -> None:
        if operation not in self._replaced and response.done() and response.exception() is None:
            self._post(Lost(f"subscription to {topic} closed"))


def _complain(what: str, error: str | None) -> None:
    if error is not None:
        log.info(what, extra={"error": error})


def describe(error: BaseException) -> str:
    """An error of the IPC client as text, with what to do about it where that is known."""
    # On nucleus lite, `message` of an error is None, and the text is in `_message`, which the client does not pass on.
    text = f"{type(error).__name__}: {getattr(error, 'message', None) or str(error) or 'no message'}"
    if isinstance(error, model.UnauthorizedError):
        text += (
            ". The component's accessControl does not allow it: {iot:thingName} in it needs nucleus 2.6 or newer, and "
            "interpolateComponentConfiguration: true in the deployment's configuration of aws.greengrass.Nucleus"
        )
    return text


def _keep_open(error: Exception) -> bool:
    """A message that the client cannot read is no reason to close the stream."""
    log.warning("cannot read a message of the nucleus", extra={"error": describe(error)})
    return False
