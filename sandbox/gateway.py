"""A line to AWS as it may be: an HTTP proxy on loopback that holds each request back for a while, and may refuse some.

Bytes pass unchanged, in both directions, so that signatures stay valid. Each request waits for the same time, whether
its connection is new or kept alive, and others in parallel do not wait for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from sandbox.background_loop import BackgroundLoop

logger = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 256 * 1024
_PIECE_BYTES = 256 * 1024


class MalformedRequestError(ValueError):
    """A client sent what is no HTTP/1.1 request; its connection is closed."""


class Request(msgspec.Struct, frozen=True):
    """The head of a request, and the port that it came from. `path` is without the query; names of headers are in lower
    case."""

    method: str
    path: str
    headers: Mapping[str, str]
    port: int


Fault = Callable[[Request], bytes | None]
"""Decides on a request before it is passed on: None passes it, bytes are the answer in place of AWS's, and no bytes at
all are no answer. In the last two cases the connection is closed. It is called in the gateway's own thread, so it has
to be quick."""


class Gateway:
    """Serves for the time of a `with` block.

    It has an `endpoint` before there is an AWS behind it, as the functions of that AWS have to be told: set `upstream`
    to the AWS's URL when it has started. Until then connections are closed.
    """

    endpoint: str

    def __init__(self, delay_s: float, fault: Fault | None = None) -> None:
        self.upstream: str | None = None
        self._delay_s = delay_s
        self._fault = fault
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._loop = BackgroundLoop("gateway")
        self._loop.run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.run(self._close())
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES)
        self.endpoint = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            if self.upstream is not None:
                address = urlsplit(self.upstream)
                server, to_server = await asyncio.open_connection(address.hostname, address.port)
                try:
                    await self._relay(client, to_client, server, to_server)
                finally:
                    to_server.close()
        except MalformedRequestError as error:
            logger.warning("%s", error)
        except OSError as error:
            logger.debug("connection dropped: %s", error)
        except asyncio.CancelledError:
            pass  # the gateway closes; asyncio's streams would log the cancellation as an error
        finally:
            to_client.close()

    async def _relay(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        requests = asyncio.create_task(self._forward_requests(client, to_client, to_server))
        answers = asyncio.create_task(_forward_bytes(server, to_client))
        try:
            # The server has the last word: after the client's last request its answer is still to come.
            done, _ = await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            if requests in done and requests.exception() is None and not requests.result():
                to_server.write_eof()
                await answers
        finally:
            for task in (requests, answers):
                task.cancel()
            results = await asyncio.gather(requests, answers, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _forward_requests(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter
    ) -> bool:
        """Returns when the client has no more, or has been refused; whether it is the latter."""
        port = int(to_client.get_extra_info("peername")[1])
        while head := await _read_head(client):
            await asyncio.sleep(self._delay_s)
            request = _parse(head, port)
            answer = None if self._fault is None else self._fault(request)
            if answer is not None:
                await _refuse(answer, request, client, to_client)
                return True
            to_server.write(head)
            async for piece in _body(request, client):
                to_server.write(piece)
                await to_server.drain()
        return False


async def _refuse(
    answer: bytes, request: Request, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
) -> None:
    if answer and "expect" not in request.headers:  # else the body is sent only if the answer is to go on
        async for _ in _body(request, client):
            pass  # a client that is still sending would not look for an answer
    to_client.write(answer)


def _parse(head: bytes, port: int) -> Request:
    line, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, *_ = [*line.split(" "), "", ""]
    headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    return Request(method, target.partition("?")[0], headers, port)


async def _read_head(client: asyncio.StreamReader) -> bytes:
    try:
        return await client.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise MalformedRequestError("a request ends in its head") from error
        return b""
    except asyncio.LimitOverrunError as error:
        raise MalformedRequestError(f"a request's head is longer than {_MAX_HEAD_BYTES} bytes") from error


async def _body(request: Request, client: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """A request's body as it comes, with its framing."""
    try:
        if request.headers.get("transfer-encoding", "").lower() == "chunked":
            size = None
            while size != 0:
                yield (line := await client.readuntil(b"\r\n"))
                size = int(line.split(b";")[0], 16)
                if size:
                    async for piece in _exactly(size + len(b"\r\n"), client):
                        yield piece
            while (trailer := await client.readuntil(b"\r\n")) != b"\r\n":
                yield trailer
            yield trailer
        else:
            async for piece in _exactly(int(request.headers.get("content-length", "0")), client):
                yield piece
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise MalformedRequestError(f"a request's body is not framed as its head says: {error}") from error


async def _exactly(size: int, client: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size > 0:
        piece = await client.read(min(size, _PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        yield piece
        size -= len(piece)


async def _forward_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
