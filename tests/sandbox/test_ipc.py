"""The IPC server, spoken to in raw frames, as no correct client would."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox.nucleus.eventstream import Decoder, Flags, Frame, MessageType, encode
from sandbox.nucleus.ipc import Call, IpcServer, IpcTraits, SocketPathTooLongError
from sandbox.nucleus.personality import CLASSIC, LITE

CONNECT = Frame(type=MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b'{"authToken": "known"}')
REQUEST = Frame(
    type=MessageType.APPLICATION_MESSAGE,
    stream=1,
    headers={"operation": "aws.greengrass#Watch", "service-model-type": "aws.greengrass#WatchRequest"},
    payload=b"{}",
)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()
        self._frames: list[Frame] = []

    def send(self, data: Frame | bytes) -> None:
        self._writer.write(encode(data) if isinstance(data, Frame) else data)

    async def receive(self) -> Frame | None:
        """The next frame; None when the server has closed the connection."""
        async with asyncio.timeout(60):
            while not self._frames:
                data = await self._reader.read(65536)
                if not data:
                    return None
                self._frames += self._decoder.feed(data)
        return self._frames.pop(0)


def run(
    directory: Path, scenario: Callable[[Client, list[Call]], Awaitable[None]], traits: IpcTraits = CLASSIC.ipc
) -> None:
    """Run a scenario against a server whose one operation, Watch, answers and stays open."""

    async def main() -> None:
        calls: list[Call] = []

        async def watch(call: Call) -> None:
            call.respond({"watching": call.component}, more=True)
            call.send_event("Event", {"number": 1})
            calls.append(call)

        path = directory / "s"
        server = IpcServer(path, {"known": "c"}.get, {"Watch": watch}, traits)
        await server.start()
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
            await scenario(Client(reader, writer), calls)
            writer.close()
        finally:
            server.stop()
        assert not path.exists()

    asyncio.run(main())


def test_the_answer_comes_before_the_first_event(tmp_path: Path) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(CONNECT)
        assert await client.receive() == Frame(type=MessageType.CONNECT_ACK, flags=Flags.CONNECTION_ACCEPTED)
        client.send(REQUEST)
        answer, event = await client.receive(), await client.receive()
        assert answer is not None
        assert event is not None
        assert answer.headers["service-model-type"] == "aws.greengrass#WatchResponse"
        assert (answer.flags, json.loads(answer.payload)) == (Flags.NONE, {"watching": "c"})
        assert event.headers["service-model-type"] == "aws.greengrass#Event"

    run(tmp_path, scenario)


def test_a_stream_that_the_client_ends_gets_no_more_events(tmp_path: Path) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(CONNECT)
        client.send(REQUEST)
        for _ in range(3):
            await client.receive()
        ended = asyncio.Event()
        calls[0].when_closed(ended.set)
        client.send(Frame(type=MessageType.APPLICATION_MESSAGE, stream=1, flags=Flags.TERMINATE_STREAM))
        async with asyncio.timeout(60):
            await ended.wait()
        calls[0].send_event("Event", {"number": 2})
        client.send(Frame(type=MessageType.PING))
        answer = await client.receive()
        assert answer is not None
        assert answer.type is MessageType.PING_RESPONSE

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "connect",
    [
        Frame(type=MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b'{"authToken": "unknown"}'),
        Frame(type=MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b"no JSON"),
        Frame(type=MessageType.CONNECT, headers={":version": "9.0.0"}, payload=CONNECT.payload),
    ],
)
def test_a_stranger_is_refused(tmp_path: Path, connect: Frame) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(connect)
        assert await client.receive() == Frame(type=MessageType.CONNECT_ACK, flags=Flags.NONE)
        assert await client.receive() is None

    run(tmp_path, scenario)


@pytest.mark.parametrize("data", [REQUEST, b"GET / HTTP/1.1\r\n\r\n"])
def test_anything_else_than_connect_first_ends_the_connection(tmp_path: Path, data: Frame | bytes) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(data)
        assert await client.receive() == Frame(type=MessageType.PROTOCOL_ERROR)
        assert await client.receive() is None
        assert not calls

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "data",
    [
        Frame(type=MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b'{"authToken": "unknown"}'),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_lite_closes_a_connection_that_it_refuses_or_cannot_read_without_a_word(
    tmp_path: Path, data: Frame | bytes
) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(data)
        assert await client.receive() is None

    run(tmp_path, scenario, LITE.ipc)


@pytest.mark.parametrize("payload", [b"no JSON", b"[1]", b'{"a":'])
def test_a_request_that_is_no_json_object_ends_its_stream_on_lite_and_the_connection_on_classic(
    tmp_path: Path, payload: bytes
) -> None:
    request = Frame(type=MessageType.APPLICATION_MESSAGE, stream=1, headers=REQUEST.headers, payload=payload)

    async def on_lite(client: Client, calls: list[Call]) -> None:
        client.send(CONNECT)
        await client.receive()
        client.send(request)
        refusal = await client.receive()
        assert refusal is not None
        assert refusal.headers["service-model-type"] == "aws.greengrass#ServiceError"
        assert not calls
        client.send(Frame(type=MessageType.APPLICATION_MESSAGE, stream=2, headers=REQUEST.headers))
        answer = await client.receive()
        assert answer is not None
        assert answer.type is MessageType.APPLICATION_MESSAGE

    async def on_classic(client: Client, calls: list[Call]) -> None:
        client.send(CONNECT)
        await client.receive()
        client.send(request)
        assert await client.receive() == Frame(type=MessageType.PROTOCOL_ERROR)
        assert await client.receive() is None

    (tmp_path / "lite").mkdir()
    run(tmp_path / "lite", on_lite, LITE.ipc)
    run(tmp_path, on_classic)


def test_lite_closes_the_connection_at_a_ping(tmp_path: Path) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(CONNECT)
        await client.receive()
        client.send(Frame(type=MessageType.PING))
        assert await client.receive() is None

    run(tmp_path, scenario, LITE.ipc)


def test_an_unknown_operation_is_a_service_error_on_its_stream_alone(tmp_path: Path) -> None:
    async def scenario(client: Client, calls: list[Call]) -> None:
        client.send(CONNECT)
        await client.receive()
        client.send(
            Frame(type=MessageType.APPLICATION_MESSAGE, stream=1, headers={"operation": "aws.greengrass#Nothing"})
        )
        refusal = await client.receive()
        assert refusal is not None
        assert (refusal.type, refusal.flags) == (MessageType.APPLICATION_ERROR, Flags.TERMINATE_STREAM)
        assert refusal.headers["service-model-type"] == "aws.greengrass#ServiceError"
        assert json.loads(refusal.payload)["_errorCode"] == "ServiceError"
        client.send(Frame(type=MessageType.APPLICATION_MESSAGE, stream=2, headers=REQUEST.headers))
        answer = await client.receive()
        assert answer is not None
        assert answer.type is MessageType.APPLICATION_MESSAGE

    run(tmp_path, scenario)


def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(SocketPathTooLongError, match="use a shorter directory"):
        IpcServer(tmp_path / ("x" * 100), lambda _token: None, {}, CLASSIC.ipc)
