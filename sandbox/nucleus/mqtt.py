"""The one MQTT connection of a device: mutual TLS with its own certificate, shared by its components.

As the classic nucleus does it: messages of quality of service 1 wait in memory while there is no connection, and are
sent in order; a subscription is confirmed by the broker before it counts, and renewed after a reconnect. The session
is a new one each time, so what the broker sent meanwhile is lost.
"""

import asyncio
import contextlib
import functools
import heapq
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from awscrt import mqtt5
from awsiot import mqtt5_client_builder

from sandbox.nucleus.authorization import matches

if TYPE_CHECKING:
    from concurrent.futures import Future

logger = logging.getLogger(__name__)

OPERATION_LIMIT_S = 30.0
MAX_SPOOLED_BYTES = 2_621_440
MAX_IN_FLIGHT = 10
MAX_TOPIC_BYTES = 256
MAX_TOPIC_SLASHES = 7
MAX_PAYLOAD_BYTES = 128 * 1024
REFUSED = 0x80
"""MQTT 5: reason codes from here on are failures."""
_RECONNECT_MIN_MS = 200
_RECONNECT_MAX_MS = 5_000

OnMessage = Callable[[str, bytes], None]


class MqttError(Exception):
    """A message was not taken, or a subscription not granted."""


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is, and how a device knows it."""

    host: str
    port: int
    ca_path: Path


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a device shows: its thing name, its certificate and the key to it."""

    thing: str
    certificate_path: Path
    key_path: Path


class _Message(msgspec.Struct, frozen=True, order=True):
    number: int
    topic: str
    payload: bytes
    qos: int


class MqttConnection:
    """Connects when started, and again whenever the connection is lost, until stopped.

    To be used in the event loop it was made in.
    """

    def __init__(self, broker: Broker, identity: Identity) -> None:
        self._loop = asyncio.get_running_loop()
        self._thing = identity.thing
        self._connected = asyncio.Event()
        self._stopped = asyncio.Event()
        self._subscriptions: dict[str, tuple[int, list[OnMessage]]] = {}
        self._spool: list[_Message] = []  # a heap, as what could not be sent comes back
        self._spooled_bytes = 0
        self._taken = 0
        self._watchers: list[Callable[[bool], None]] = []
        self._in_flight = 0
        self._client = mqtt5_client_builder.mtls_from_path(
            cert_filepath=str(identity.certificate_path),
            pri_key_filepath=str(identity.key_path),
            ca_filepath=str(broker.ca_path),
            endpoint=broker.host,
            port=broker.port,
            client_id=identity.thing,
            keep_alive_interval_sec=30,
            min_reconnect_delay_ms=_RECONNECT_MIN_MS,
            max_reconnect_delay_ms=_RECONNECT_MAX_MS,
            on_publish_received=lambda data: self._call(self._receive, data.publish_packet),
            on_lifecycle_connection_success=lambda _data: self._call(self._on_connected),
            on_lifecycle_disconnection=lambda data: self._call(self._on_disconnected, data.exception),
            on_lifecycle_connection_failure=lambda data: self._call(self._on_failure, data.exception),
            on_lifecycle_stopped=lambda _data: self._call(self._stopped.set),
        )

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connected.is_set()

    def start(self) -> None:
        """Connect, and keep connected."""
        self._stopped.clear()
        self._client.start()

    async def stop(self) -> None:
        """Drop the connection without saying goodbye, as a lost line does, until `start`."""
        self._note_loss()
        self._client.stop()
        await self._stopped.wait()

    async def wait_connected(self) -> None:
        """Return when there is a connection."""
        await self._connected.wait()

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Take a message for sending. That it was sent is not known when this returns.

        Raises:
            MqttError: AWS IoT would not take it; or there is no connection, and a message of quality of service 0 is
                not kept; or there is no room.
        """
        if len(topic.encode()) > MAX_TOPIC_BYTES or topic.count("/") > MAX_TOPIC_SLASHES:
            raise MqttError(f"topic {topic} has over {MAX_TOPIC_BYTES} bytes or {MAX_TOPIC_SLASHES} slashes")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MqttError(f"message of {len(payload)} bytes to {topic} is over {MAX_PAYLOAD_BYTES} bytes")
        if qos == 0 and not self.connected:
            raise MqttError(f"no connection: message of quality of service 0 to {topic} is not kept")
        if self._spooled_bytes + len(payload) > MAX_SPOOLED_BYTES:
            raise MqttError(f"no room: {self._spooled_bytes} bytes wait to be sent")
        self._taken += 1
        heapq.heappush(self._spool, _Message(self._taken, topic, payload, qos))
        self._spooled_bytes += len(payload)
        self._send_spooled()

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Return when the broker has confirmed that it will send what the filter selects.

        Raises:
            MqttError: it refused, or did not answer in time.
        """
        try:
            async with asyncio.timeout(OPERATION_LIMIT_S):
                await self._connected.wait()
                future = self._request_subscription(topic_filter, qos)
                await asyncio.wait({asyncio.wrap_future(future)})
        except TimeoutError as error:
            raise MqttError(f"no answer to a subscription to {topic_filter} in {OPERATION_LIMIT_S} s") from error
        _check_subscription(topic_filter, future)

    def add_listener(self, topic_filter: str, qos: int, listener: OnMessage) -> Callable[[], None]:
        """Have messages that the filter selects given to `listener`; the result ends that."""
        _, listeners = self._subscriptions.setdefault(topic_filter, (qos, []))
        listeners.append(listener)

        def remove() -> None:
            listeners.remove(listener)
            if listeners or self._subscriptions.get(topic_filter, (0, None))[1] is not listeners:
                return
            del self._subscriptions[topic_filter]
            if self.connected:
                self._client.unsubscribe(mqtt5.UnsubscribePacket(topic_filters=[topic_filter]))

        return remove

    def watch(self, watcher: Callable[[bool], None]) -> Callable[[], None]:
        """Have `watcher` called with each change of `connected`; the result ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _note_loss(self) -> None:
        if self.connected:
            self._connected.clear()
            self._tell_watchers()

    def _tell_watchers(self) -> None:
        for watcher in list(self._watchers):
            watcher(self.connected)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        # Callbacks come on the MQTT library's thread, and may come late, when the loop is closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _receive(self, packet: mqtt5.PublishPacket) -> None:
        for topic_filter, (_, listeners) in list(self._subscriptions.items()):
            if matches(topic_filter, packet.topic):
                for listener in list(listeners):
                    listener(packet.topic, packet.payload or b"")

    def _on_connected(self) -> None:
        logger.info("%s: MQTT connected", self._thing)
        self._connected.set()  # its watchers hear of it when the subscriptions are under way
        for topic_filter, (qos, _) in self._subscriptions.items():
            self._request_subscription(topic_filter, qos).add_done_callback(
                functools.partial(self._call, self._on_renewed, topic_filter)
            )
        self._send_spooled()
        self._tell_watchers()

    def _on_disconnected(self, reason: Exception | None) -> None:
        logger.info("%s: MQTT connection lost: %s", self._thing, reason)
        self._note_loss()

    def _on_failure(self, reason: Exception | None) -> None:
        logger.warning("%s: MQTT connection refused: %s", self._thing, reason)

    def _request_subscription(self, topic_filter: str, qos: int) -> "Future[mqtt5.SubackPacket]":
        subscription = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS(qos))
        future: Future[mqtt5.SubackPacket] = self._client.subscribe(mqtt5.SubscribePacket(subscriptions=[subscription]))
        return future

    def _on_renewed(self, topic_filter: str, future: "Future[mqtt5.SubackPacket]") -> None:
        try:
            _check_subscription(topic_filter, future)
        except MqttError as error:
            logger.warning("%s: after a reconnect, %s", self._thing, error)

    def _send_spooled(self) -> None:
        while self._spool and self.connected and self._in_flight < MAX_IN_FLIGHT:
            message = heapq.heappop(self._spool)
            self._in_flight += 1
            packet = mqtt5.PublishPacket(topic=message.topic, payload=message.payload, qos=mqtt5.QoS(message.qos))
            self._client.publish(packet).add_done_callback(functools.partial(self._call, self._on_sent, message))

    def _on_sent(self, message: _Message, future: "Future[mqtt5.PublishCompletionData]") -> None:
        self._in_flight -= 1
        error = future.exception()
        if error is not None and message.qos == 1:  # the client was stopped; it keeps them through other losses
            heapq.heappush(self._spool, message)
        else:
            self._spooled_bytes -= len(message.payload)
            answer = None if error is not None else future.result().puback
            if error is not None or (answer is not None and answer.reason_code >= REFUSED):
                logger.warning("%s: message to %s not sent: %s", self._thing, message.topic, error or answer)
        self._send_spooled()


def _check_subscription(topic_filter: str, future: "Future[mqtt5.SubackPacket]") -> None:
    error = future.exception()
    if error is not None:
        raise MqttError(f"subscription to {topic_filter} failed: {error}") from error
    for code in future.result().reason_codes:
        if code >= REFUSED:
            raise MqttError(f"subscription to {topic_filter} refused by the broker: {code.name}")
