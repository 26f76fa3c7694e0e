"""The IPC server of one device: connections and streams on a Unix socket. What the operations do is not known here."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sandbox.nucleus.eventstream import Decoder, Flags, Frame, MalformedFrameError, MessageType, encode

logger = logging.getLogger(__name__)

VERSION = "0.1.0"
MAX_SOCKET_PATH_BYTES = 107
_CONTENT_TYPE = {":content-type": "application/json"}

Handler = Callable[["Call"], Awaitable[None]]
Authenticate = Callable[[str], str | None]


class SocketPathTooLongError(ValueError):
    """A Unix socket's path has to fit into 107 bytes."""


class IpcError(Exception):
    """An operation's refusal, as the component gets it."""

    def __init__(self, code: str, message: str) -> None:
        """`code` is the name of the error in Greengrass's IPC model: UnauthorizedError, ServiceError, ..."""
        super().__init__(message)
        self.code = code


class IpcTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What the nuclei do differently: the fields of an error that hold its text; the longest frame they read; whether
    the answer of an operation without events ends its stream; whether they say that they refuse a connection or
    cannot read it, before they close it; whether they answer a PING, or close the connection; and whether a request
    that is no JSON ends its stream alone, or the connection."""

    error_fields: tuple[str, ...]
    max_frame_bytes: int
    ends_streams: bool
    explains_closing: bool
    answers_pings: bool
    outlives_bad_requests: bool


class Call:
    """One stream: a component's request, its one answer, and the events that may follow.

    A handler calls `respond` once, or raises `IpcError`; with `more=True` the stream stays open for `send_event`.
    """

    def __init__(
        self,
        component: str,
        operation: str,
        request: dict[str, Any],
        send: Callable[[Frame], None],
        stream: int,
        traits: IpcTraits,
    ):
        self.component = component
        self.operation = operation
        self.request = request
        self._send = send
        self._stream = stream
        self._traits = traits
        self._closed = False
        self._when_closed: list[Callable[[], None]] = []

    @property
    def closed(self) -> bool:
        """Whether the stream has ended, from whichever side."""
        return self._closed

    def respond(self, body: dict[str, Any] | None = None, *, more: bool = False) -> None:
        """Answer the request."""
        last = not more and self._traits.ends_streams
        self._message(f"{self.operation}Response", body or {}, Flags.TERMINATE_STREAM if last else Flags.NONE)
        if not more:
            self.end()

    def send_event(self, model: str, body: dict[str, Any]) -> None:
        """Send one event of a stream that is still open; `model` is its name in Greengrass's IPC model."""
        self._message(model, body, Flags.NONE)

    def fail(self, error: IpcError) -> None:
        """Answer with an error, and end the stream."""
        body = dict.fromkeys(self._traits.error_fields, str(error)) | {"_errorCode": error.code}
        self._message(error.code, body, Flags.TERMINATE_STREAM, MessageType.APPLICATION_ERROR)
        self.end()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the stream ends; at once if it has."""
        if self._closed:
            callback()
        else:
            self._when_closed.append(callback)

    def end(self) -> None:
        """Note that the stream has ended."""
        if not self._closed:
            self._closed = True
            for callback in self._when_closed:
                callback()

    def _message(
        self,
        model: str,
        body: dict[str, Any],
        flags: Flags,
        kind: MessageType = MessageType.APPLICATION_MESSAGE,
    ) -> None:
        if self._closed:
            return
        headers = {**_CONTENT_TYPE, "service-model-type": f"aws.greengrass#{model}"}
        payload = msgspec.json.encode(body)
        self._send(Frame(type=kind, flags=flags, stream=self._stream, headers=headers, payload=payload))


class IpcServer:
    """Listens while started. `authenticate` tells the component that an auth token (SVCUID) belongs to;
    `handlers` are the operations by name."""

    def __init__(
        self, path: Path, authenticate: Authenticate, handlers: Mapping[str, Handler], traits: IpcTraits
    ) -> None:
        """
        Raises:
            SocketPathTooLongError: `path` is longer than a Unix socket's may be.
        """
        if len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
            raise SocketPathTooLongError(
                f"socket {path} has a path of {len(bytes(path))} bytes, {MAX_SOCKET_PATH_BYTES} is the limit: "
                "use a shorter directory (TMPDIR sets where temporary ones are)"
            )
        self.path = path
        self._authenticate = authenticate
        self._handlers = handlers
        self._traits = traits
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        """Listen."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, self.path)

    def stop(self) -> None:
        """Close all connections and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.abort()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> "_Connection":
        return _Connection(self._authenticate, self._handlers, self._traits, self._connections)


class _Connection(asyncio.Protocol):
    def __init__(
        self,
        authenticate: Authenticate,
        handlers: Mapping[str, Handler],
        traits: IpcTraits,
        connections: "set[_Connection]",
    ) -> None:
        self._authenticate = authenticate
        self._handlers = handlers
        self._traits = traits
        self._connections = connections
        self._decoder = Decoder(traits.max_frame_bytes)
        self._component: str | None = None
        self._calls: dict[int, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_stream = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self)
        for call in list(self._calls.values()):
            call.end()
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._receive(frame)
        except MalformedFrameError as error:
            logger.warning("IPC connection of %s closed: %s", self._component or "a stranger", error)
            self._close(Frame(type=MessageType.PROTOCOL_ERROR))

    def abort(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _close(self, explanation: Frame) -> None:
        if self._traits.explains_closing:
            self._send(explanation)
        if self._transport is not None:
            self._transport.close()

    def _send(self, frame: Frame) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(frame))

    def _receive(self, frame: Frame) -> None:
        if frame.type is MessageType.CONNECT:
            self._connect(frame)
        elif self._component is None:
            raise MalformedFrameError(f"{frame.type.name} before CONNECT")
        elif frame.type is MessageType.PING:
            if not self._traits.answers_pings:
                raise MalformedFrameError("PING, which this nucleus does not know")
            self._send(Frame(type=MessageType.PING_RESPONSE, payload=frame.payload))
        elif frame.type is MessageType.APPLICATION_MESSAGE:
            self._receive_on_stream(frame, self._component)

    def _connect(self, frame: Frame) -> None:
        token = None
        with contextlib.suppress(msgspec.DecodeError):
            token = msgspec.json.decode(frame.payload, type=dict[str, Any]).get("authToken")
        component = self._authenticate(token) if isinstance(token, str) else None
        if frame.headers.get(":version") != VERSION or component is None:
            logger.warning("IPC connection refused: wrong version or auth token")
            self._close(Frame(type=MessageType.CONNECT_ACK))
            return
        self._component = component
        self._send(Frame(type=MessageType.CONNECT_ACK, flags=Flags.CONNECTION_ACCEPTED))

    def _receive_on_stream(self, frame: Frame, component: str) -> None:
        call = self._calls.get(frame.stream)
        if call is None and frame.stream > self._last_stream and not frame.flags & Flags.TERMINATE_STREAM:
            self._last_stream = frame.stream
            self._open(frame, component)
        elif call is not None and frame.flags & Flags.TERMINATE_STREAM:
            call.end()

    def _open(self, frame: Frame, component: str) -> None:
        operation = str(frame.headers.get("operation", "")).removeprefix("aws.greengrass#")
        request: dict[str, Any] = {}
        unreadable = None
        try:
            request = msgspec.json.decode(frame.payload or b"{}", type=dict[str, Any])
        except msgspec.DecodeError as error:
            unreadable = f"request of {operation} is no JSON object: {error}"
            if not self._traits.outlives_bad_requests:
                raise MalformedFrameError(unreadable) from error
        call = Call(component, operation, request, self._send, frame.stream, self._traits)
        self._calls[frame.stream] = call
        call.when_closed(functools.partial(self._calls.__delitem__, frame.stream))
        if unreadable is not None:
            call.fail(IpcError("ServiceError", unreadable))
            return
        task = asyncio.get_running_loop().create_task(self._serve(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, call: Call) -> None:
        try:
            await self._handlers.get(call.operation, _refuse)(call)
        except IpcError as error:
            logger.info("%s of %s refused: %s: %s", call.operation, call.component, error.code, error)
            call.fail(error)
        except Exception:
            logger.exception("%s of %s failed", call.operation, call.component)
            call.fail(IpcError("ServiceError", f"{call.operation} failed"))


async def _refuse(call: Call) -> None:
    raise IpcError("ServiceError", f"{call.operation} is not available on this device")
