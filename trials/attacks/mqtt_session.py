"""An MQTT 5 session as no correct client would hold it: each packet is sent as the attack wants it, and its answer is
told by its reason code."""

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import msgspec

from sandbox.nucleus.mqtt import Broker, Identity
from trials.attacks.attack import UnexplainedError, Verdict, accepted, refused

LIMIT_S = 60.0

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = (
    1, 2, 3, 4, 8, 9, 12, 13, 14,
)  # fmt: skip
_REFUSALS = {0x87: "not authorized", 0x8F: "topic filter invalid", 0x90: "topic name invalid"}
_FIRST_REFUSAL = 0x80
_SESSION_EXPIRY = b"\x11" + struct.pack("!I", 600)


class Closed(Exception):  # noqa: N818 - it is an answer
    """The broker ended the connection, or let none come about."""


class Will(msgspec.Struct, frozen=True):
    """What the broker is to publish when the connection is lost."""

    topic: str
    payload: bytes
    retain: bool = False


class Session:
    """A connection, for the time of a `with` block; without an `identity` no certificate is shown."""

    def __init__(self, broker: Broker, identity: Identity | None) -> None:
        self._broker = broker
        self._identity = identity
        self._packets = 0

    def __enter__(self) -> Self:
        context = ssl.create_default_context(cafile=str(self._broker.ca_path))
        if self._identity is not None:
            context.load_cert_chain(self._identity.certificate_path, self._identity.key_path)
        line = socket.create_connection((self._broker.host, self._broker.port), LIMIT_S)
        try:
            self._socket = context.wrap_socket(line, server_hostname=self._broker.host)
        except (ssl.SSLError, ConnectionError) as error:
            line.close()
            raise Closed(f"TLS: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def connect(self, client_id: str, *, will: Will | None = None, stored: bool = False) -> int:
        """The reason code of the broker's answer; `stored` asks for the session that it has stored of this client id,
        and has it store this one.

        Raises:
            Closed: it ended the connection.
        """
        flags = (0 if stored else 0x02) | (0x0C | (0x20 if will.retain else 0) if will else 0)
        properties = _SESSION_EXPIRY if stored else b""
        body = _text("MQTT") + bytes([5, flags]) + struct.pack("!H", 60)
        body += _varint(len(properties)) + properties + _text(client_id)
        if will is not None:
            body += b"\0" + _text(will.topic) + struct.pack("!H", len(will.payload)) + will.payload
        answer = self._ask(_CONNECT << 4, body, _CONNACK)
        return answer[1]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """The reason code of the broker's answer to a message, of QoS 1.

        Raises:
            Closed: it ended the connection.
        """
        body = _text(topic) + self._packet_id() + b"\0" + payload
        answer = self._ask(_PUBLISH << 4 | 0x02 | (0x01 if retain else 0), body, _PUBACK)
        return answer[2] if len(answer) > 2 else 0

    def subscribe(self, topic_filter: str) -> int:
        """The reason code of the broker's answer to a subscription.

        Raises:
            Closed: it ended the connection.
        """
        body = self._packet_id() + b"\0" + _text(topic_filter) + b"\x01"
        return self._ask(_SUBSCRIBE << 4 | 0x02, body, _SUBACK)[-1]

    def is_alive(self) -> bool:
        """Whether the broker still answers."""
        try:
            self._ask(_PINGREQ << 4, b"", _PINGRESP)
        except Closed:
            return False
        return True

    def _packet_id(self) -> bytes:
        self._packets += 1
        return struct.pack("!H", self._packets)

    def _ask(self, first: int, body: bytes, wanted: int) -> bytes:
        try:
            self._socket.sendall(bytes([first]) + _varint(len(body)) + body)
            while True:
                kind, answer = self._receive()
                if kind == wanted:
                    return answer
                if kind == _DISCONNECT:
                    raise Closed(f"DISCONNECT: {_REFUSALS.get(answer[0], hex(answer[0])) if answer else 'normal'}")
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from error

    def _receive(self) -> tuple[int, bytes]:
        first = self._read(1)[0]
        length = shift = 0
        while True:
            digit = self._read(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return first >> 4, self._read(length)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise Closed("the broker closed the connection")
            data += more
        return data


def verdict_on(ask: Callable[[], int], refusals: Mapping[int, str] = _REFUSALS) -> Verdict:
    """The verdict on what the broker was asked: by its reason code, or because it closed the connection."""
    try:
        code = ask()
    except Closed as error:
        return refused(str(error))
    if code < _FIRST_REFUSAL:
        return accepted(f"the broker answered {code:#04x}")
    if code not in refusals:
        raise UnexplainedError(f"the broker answered {code:#04x}")
    return refused(f"MQTT: {refusals[code]}")


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def _varint(number: int) -> bytes:
    digits = b""
    while True:
        number, digit = number >> 7, number & 0x7F
        digits += bytes([digit | (0x80 if number else 0)])
        if not number:
            return digits
