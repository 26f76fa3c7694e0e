"""The one MQTT connection of a device: mutual TLS with its own certificate, shared by its components.

Subscriptions are renewed after a reconnect. The session is a new one each time, so what the broker sent meanwhile is
lost. `MqttTraits` has what the two nuclei do differently.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
from awscrt import mqtt5
from awsiot import mqtt5_client_builder

from sandbox.nucleus.authorization import matches
from sandbox.nucleus.reconnect_delays import LineWaits
from sandbox.nucleus.sending import REFUSED, Line, Message, MqttError, OnSent, Sending

logger = logging.getLogger(__name__)

OPERATION_LIMIT_S = 30.0
MAX_TOPIC_BYTES = 256
MAX_TOPIC_SLASHES = 7
MAX_PAYLOAD_BYTES = 128 * 1024
SUBSCRIBE_DELAY_S = 0.05
"""How long after its answer a nucleus that does not wait for the broker is heard by it."""

OnMessage = Callable[[str, bytes], None]


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


class MqttTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the nuclei do differently: what becomes of messages that are published, and of those under way when the
    connection breaks; whether a subscription is answered only when the broker has confirmed it; how large a packet
    from the broker may be, None for as large as it sends them; and how long they take about their line."""

    sending: Callable[[Line], Sending]
    offline_queue: mqtt5.ClientOperationQueueBehaviorType
    awaits_subscriptions: bool
    max_packet_bytes: int | None
    waits: LineWaits


class MqttConnection:
    """Connects when started, and again whenever the connection is lost, until stopped.

    To be used in the event loop it was made in. `thing` is the name that it connects with.
    """

    def __init__(self, broker: Broker, identity: Identity, traits: MqttTraits) -> None:
        self._loop = asyncio.get_running_loop()
        self.thing = identity.thing
        self._traits = traits
        self._sending = traits.sending(self)
        self._connected = asyncio.Event()
        self._stopped = asyncio.Event()
        self._subscriptions: dict[str, tuple[int, list[OnMessage]]] = {}
        self._watchers: list[Callable[[bool], None]] = []
        self._dead = False
        self._swallowed: list[OnSent] = []
        self._down_since: float | None = None
        self._next: asyncio.TimerHandle | None = None
        self._losing: asyncio.Task[None] | None = None
        self._client = mqtt5_client_builder.mtls_from_path(
            cert_filepath=str(identity.certificate_path),
            pri_key_filepath=str(identity.key_path),
            ca_filepath=str(broker.ca_path),
            endpoint=broker.host,
            port=broker.port,
            client_id=identity.thing,
            keep_alive_interval_sec=30,
            min_reconnect_delay_ms=int(1000 * traits.waits.first_retry_s),
            max_reconnect_delay_ms=int(1000 * traits.waits.max_retry_s),
            offline_queue_behavior=traits.offline_queue,
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
        self._wait_for_nothing()
        self._note_loss()
        self._client.stop()
        await self._stopped.wait()

    async def cut(self) -> None:
        """Lose the line, and know it at once, until `restore`."""
        await self.stop()
        self._down_since = self._loop.time()

    def kill_line(self) -> None:
        """Lose the line without knowing it: what is sent or comes gets lost, until that is noticed, or `restore`."""
        self._dead = True
        self._next = self._loop.call_later(self._traits.waits.notice_s, self._notice)

    async def restore(self) -> None:
        """Give the line back; doesn't wait for the connection, which comes at the next try if there is none."""
        self._wait_for_nothing()
        if self._losing is not None:
            await self._losing
        if self._down_since is not None:
            self._try_again(self._loop.time() - self._down_since)

    def _notice(self) -> None:
        self._losing = self._loop.create_task(self.cut())

    async def _be_disconnected(self) -> None:
        await self.cut()
        self._try_again(0.0)

    def _try_again(self, down_s: float) -> None:
        self._down_since = None
        self._next = self._loop.call_later(self._traits.waits.until_next_try(down_s), self.start)

    def _wait_for_nothing(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._dead = False
        swallowed, self._swallowed = self._swallowed, []
        for on_sent in swallowed:
            lost: Future[mqtt5.PublishCompletionData] = Future()
            lost.set_exception(MqttError("the line was dead"))
            on_sent(lost)

    async def wait_connected(self) -> None:
        """Return when there is a connection."""
        await self._connected.wait()

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Take a message for sending. That it was sent is not known when this returns. AWS IoT ends the connection if
        the topic has a wildcard.

        Raises:
            MqttError: AWS IoT would not take it; or there is no connection or no room, and it is not kept.
        """
        if len(topic.encode()) > MAX_TOPIC_BYTES or topic.count("/") > MAX_TOPIC_SLASHES:
            raise MqttError(f"topic {topic} has over {MAX_TOPIC_BYTES} bytes or {MAX_TOPIC_SLASHES} slashes")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MqttError(f"message of {len(payload)} bytes to {topic} is over {MAX_PAYLOAD_BYTES} bytes")
        if "+" in topic or "#" in topic:
            self._losing = self._loop.create_task(self._be_disconnected())
            return
        await self._sending.take(topic, payload, qos)

    def send(self, message: Message, on_sent: OnSent) -> None:
        """Send a message that was taken; `on_sent` is called with how that went."""
        if self._dead:
            self._swallowed.append(on_sent)
            return
        packet = mqtt5.PublishPacket(topic=message.topic, payload=message.payload, qos=mqtt5.QoS(message.qos))
        self._client.publish(packet).add_done_callback(functools.partial(self._call, on_sent))

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Have the broker send what the filter selects; returns when it has confirmed that, if that is awaited.

        Raises:
            MqttError: it refused, or did not answer in time; or there is no connection, and none is awaited.
        """
        if self._traits.awaits_subscriptions:
            await self._subscribe_and_wait(topic_filter, qos)
        elif self.connected:
            self._loop.call_later(SUBSCRIBE_DELAY_S, self._renew, topic_filter)
        else:
            raise MqttError(f"no connection: cannot subscribe to {topic_filter}")

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

    async def _subscribe_and_wait(self, topic_filter: str, qos: int) -> None:
        try:
            async with asyncio.timeout(OPERATION_LIMIT_S):
                await self._connected.wait()
                future = self._request_subscription(topic_filter, qos)
                await asyncio.wait({asyncio.wrap_future(future)})
        except TimeoutError as error:
            raise MqttError(f"no answer to a subscription to {topic_filter} in {OPERATION_LIMIT_S} s") from error
        _check_subscription(topic_filter, future)

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
        limit = self._traits.max_packet_bytes
        if self._dead or (limit is not None and _size(packet) > limit):
            return  # without a word, as on the device
        for topic_filter, (_, listeners) in list(self._subscriptions.items()):
            if matches(topic_filter, packet.topic):
                for listener in list(listeners):
                    listener(packet.topic, packet.payload or b"")

    def _on_connected(self) -> None:
        logger.info("%s: MQTT connected", self.thing)
        self._connected.set()  # its watchers hear of it when the subscriptions are under way
        for topic_filter in self._subscriptions:
            self._renew(topic_filter)
        self._sending.on_connected()
        self._tell_watchers()

    def _on_disconnected(self, reason: Exception | None) -> None:
        logger.info("%s: MQTT connection lost: %s", self.thing, reason)
        self._note_loss()

    def _on_failure(self, reason: Exception | None) -> None:
        logger.warning("%s: MQTT connection refused: %s", self.thing, reason)

    def _request_subscription(self, topic_filter: str, qos: int) -> "Future[mqtt5.SubackPacket]":
        subscription = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS(qos))
        future: Future[mqtt5.SubackPacket] = self._client.subscribe(mqtt5.SubscribePacket(subscriptions=[subscription]))
        return future

    def _renew(self, topic_filter: str) -> None:
        if self.connected and topic_filter in self._subscriptions:
            qos, _ = self._subscriptions[topic_filter]
            self._request_subscription(topic_filter, qos).add_done_callback(
                functools.partial(self._call, self._on_renewed, topic_filter)
            )

    def _on_renewed(self, topic_filter: str, future: "Future[mqtt5.SubackPacket]") -> None:
        try:
            _check_subscription(topic_filter, future)
        except MqttError as error:
            logger.warning("%s: nobody was told that %s", self.thing, error)


def _check_subscription(topic_filter: str, future: "Future[mqtt5.SubackPacket]") -> None:
    error = future.exception()
    if error is not None:
        raise MqttError(f"subscription to {topic_filter} failed: {error}") from error
    for code in future.result().reason_codes:
        if code >= REFUSED:
            raise MqttError(f"subscription to {topic_filter} refused by the broker: {code.name}")


def _size(packet: mqtt5.PublishPacket) -> int:
    """Bytes of a packet without properties: its type and length, the topic with its length, an id, the payload."""
    return 3 + 2 + len(packet.topic.encode()) + 2 + 1 + len(packet.payload or b"")
