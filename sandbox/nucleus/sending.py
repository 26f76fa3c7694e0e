"""What becomes of messages that components publish: kept until they are sent (classic), or sent now or never (lite)."""

import asyncio
import functools
import heapq
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from awscrt import mqtt5

logger = logging.getLogger(__name__)

MAX_SPOOLED_BYTES = 2_621_440
MAX_IN_FLIGHT = 10
IN_FLIGHT_LIMIT_S = 5.0
"""How long one more message waits for the broker to confirm one of those."""
REFUSED = 0x80
"""MQTT 5: reason codes from here on are failures."""

OnSent = Callable[["Future[mqtt5.PublishCompletionData]"], None]


class MqttError(Exception):
    """A message was not taken, or a subscription not granted."""


class Message(msgspec.Struct, frozen=True, order=True):
    """A message to be published; `number` is its place in the order in which messages were taken."""

    number: int
    topic: str
    payload: bytes
    qos: int


class Line(Protocol):
    """The connection that messages are sent over."""

    thing: str

    @property
    def connected(self) -> bool: ...

    def send(self, message: Message, on_sent: OnSent) -> None:
        """Send a message; `on_sent` is called with how that went."""


class Sending(Protocol):
    """What a nucleus does with messages."""

    async def take(self, topic: str, payload: bytes, qos: int) -> None:
        """Take a message for sending.

        Raises:
            MqttError: it is not taken.
        """

    def on_connected(self) -> None:
        """The line is there again."""


class Spool:
    """The classic nucleus: messages of quality of service 1 wait in memory for a line, and are sent in order."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: list[Message] = []  # a heap, as what could not be sent comes back
        self._spooled_bytes = 0
        self._taken = 0
        self._in_flight = 0

    async def take(self, topic: str, payload: bytes, qos: int) -> None:
        if qos == 0 and not self._line.connected:
            raise MqttError(f"no connection: message of quality of service 0 to {topic} is not kept")
        if self._spooled_bytes + len(payload) > MAX_SPOOLED_BYTES:
            raise MqttError(f"no room: {self._spooled_bytes} bytes wait to be sent")
        self._taken += 1
        heapq.heappush(self._waiting, Message(self._taken, topic, payload, qos))
        self._spooled_bytes += len(payload)
        self.on_connected()

    def on_connected(self) -> None:
        while self._waiting and self._line.connected and self._in_flight < MAX_IN_FLIGHT:
            message = heapq.heappop(self._waiting)
            self._in_flight += 1
            self._line.send(message, functools.partial(self._on_sent, message))

    def _on_sent(self, message: Message, future: "Future[mqtt5.PublishCompletionData]") -> None:
        self._in_flight -= 1
        if future.exception() is not None and message.qos == 1:  # the client was stopped
            heapq.heappush(self._waiting, message)
        else:
            self._spooled_bytes -= len(message.payload)
            _warn_of_failure(self._line.thing, message, future)
        self.on_connected()


class NoSpool:
    """Nucleus lite: a message is sent at once or refused, and one that was under way when the line broke is lost."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._taken = 0
        self._free = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def take(self, topic: str, payload: bytes, qos: int) -> None:
        if not self._line.connected:
            raise MqttError(f"no connection: message to {topic} is not kept")
        try:
            async with asyncio.timeout(IN_FLIGHT_LIMIT_S):
                await self._free.acquire()
        except TimeoutError as error:
            raise MqttError(f"{MAX_IN_FLIGHT} messages are under way: message to {topic} is not kept") from error
        self._taken += 1
        message = Message(self._taken, topic, payload, qos)
        self._line.send(message, functools.partial(self._on_sent, message))

    def on_connected(self) -> None:
        """Nothing waits."""

    def _on_sent(self, message: Message, future: "Future[mqtt5.PublishCompletionData]") -> None:
        self._free.release()
        _warn_of_failure(self._line.thing, message, future)


def _warn_of_failure(thing: str, message: Message, future: "Future[mqtt5.PublishCompletionData]") -> None:
    error = future.exception()
    answer = None if error is not None else future.result().puback
    if error is not None or (answer is not None and answer.reason_code >= REFUSED):
        logger.warning("%s: message to %s not sent: %s", thing, message.topic, error or answer)
