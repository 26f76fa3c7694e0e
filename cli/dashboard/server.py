"""Serves the page, to this machine alone: another site's page can neither read it nor, by a name of its own that leads
to this machine, pass for it (DNS rebinding)."""

import asyncio
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import uvicorn
from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.dashboard.board import Board
from cli.dashboard.drawing import Drawing, Drawn
from cli.dashboard.page import SCRIPT, page, style
from cli.errors.explained import explained
from cli.gone_sandbox import ENDED, is_gone
from cloud.state.federations import UnknownFederationError
from cloud.state.records import CorruptRecordError
from reporting.watching import REFRESH_S

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

_ALIVE_S = 15.0
"""So often something is sent to a page, that a connection which is no more is noticed."""


class PortInUseError(Exception):
    """Another program listens on the port that the dashboard was asked to use."""


class Dashboard:
    """A page of one federation, and what goes on behind it."""

    def __init__(self, federation: str, drawing: Drawing) -> None:
        self._federation = federation
        self._drawing = drawing
        self._board = Board()
        self._trouble = ""
        self._changed = asyncio.Condition()
        self._is_closing = False

    def app(self, port: int) -> ASGIApp:
        """What serves it on a port of this machine."""
        routes = [
            Route("/", self._page),
            Route("/page.css", self._style),
            Route("/page.js", self._script),
            Route("/events", self._events),
            Route("/rounds.csv", self._rounds),
            Route("/clients.csv", self._clients),
        ]
        return _Guard(Starlette(routes=routes), port)

    async def draw_first(self) -> None:
        """Have something to be shown.

        Raises:
            UnknownFederationError, BotoCoreError, ClientError: as Drawing.draw.
        """
        await self._show(await run_in_threadpool(self._drawing.draw))

    async def go_on(self) -> None:
        """Look and draw, until this is cancelled; what is in the way is told on the page, and tried again."""
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                drawn = await run_in_threadpool(self._drawing.draw)
            except (BotoCoreError, ClientError, UnknownFederationError, CorruptRecordError) as error:
                await self._tell(f"{ENDED}: this was last seen of it" if is_gone(error) else explained(error).message)
            else:
                await self._tell("")
                await self._show(drawn)

    async def close(self) -> None:
        """End what pages listen to."""
        self._is_closing = True
        await self._notify()

    async def _show(self, drawn: Drawn) -> None:
        if self._board.show(*drawn):
            await self._notify()

    async def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _page(self, _: Request) -> Response:
        return Response(page(self._federation, self._board), media_type="text/html")

    async def _style(self, _: Request) -> Response:
        return Response(style(), media_type="text/css")

    async def _script(self, _: Request) -> Response:
        return Response(SCRIPT.read_text(), media_type="text/javascript")

    async def _rounds(self, _: Request) -> Response:
        return Response(await run_in_threadpool(self._drawing.rounds_csv), media_type="text/csv")

    async def _clients(self, _: Request) -> Response:
        return Response(await run_in_threadpool(self._drawing.clients_csv), media_type="text/csv")

    async def _events(self, request: Request) -> Response:
        since = request.query_params.get("since", "0")
        if not (since.isascii() and since.isdigit()):
            return PlainTextResponse("since is no version of the page", 400)
        return StreamingResponse(self._stream(int(since)), media_type="text/event-stream")

    async def _stream(self, version: int) -> AsyncIterator[bytes]:
        told = ""
        yield b": hello\n\n"
        while not self._is_closing:
            if self._trouble != told:
                told = self._trouble
                yield _event("trouble", told)
            if self._board.version > version:
                picture, version = self._board.since(version), self._board.version
                yield _event("picture", picture)
            try:
                async with asyncio.timeout(_ALIVE_S), self._changed:
                    await self._changed.wait_for(functools.partial(self._has_news, version, told))
            except TimeoutError:
                yield b": here\n\n"

    def _has_news(self, version: int, told: str) -> bool:
        return self._is_closing or self._board.version > version or self._trouble != told


def _event(name: str, value: object) -> bytes:
    """JSON has no line ends: it is one line of data."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


class _Guard:
    """Refuses what was not meant for this machine's own name, and puts the policies into every answer."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_policies(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            refusal = PlainTextResponse("this page is for http://127.0.0.1 or http://localhost alone", 421)
            await refusal(scope, receive, send_with_policies)
            return
        await self._app(scope, receive, send_with_policies)


def listen(port: int) -> socket.socket:
    """A socket of this machine that only it can reach; port 0 is a free one.

    Raises:
        PortInUseError: see there.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PortInUseError(
            f"port {port} on 127.0.0.1 can't be used ({error.strerror}): end what listens there, or name another port"
        ) from error


def serve(federation: str, drawing: Drawing, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; `tell` is called with its address, once it is there.

    Raises:
        PortInUseError: see there.
        UnknownFederationError, BotoCoreError, ClientError: the federation can't be looked at for the first time.
    """
    with listen(port) as listener:
        asyncio.run(_serve(Dashboard(federation, drawing), listener, tell))


async def _serve(dashboard: Dashboard, listener: socket.socket, tell: Callable[[str], None]) -> None:
    await dashboard.draw_first()
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        dashboard.app(port), log_config=None, access_log=False, server_header=False, lifespan="off", ws="none"
    )
    server = _Server(config, dashboard.close)
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(dashboard.go_on())
        tell(f"http://127.0.0.1:{port}/")
        await server.serve([listener])
        looking.cancel()


class _Server(uvicorn.Server):
    """Ends what pages listen to before it waits for their connections to end."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._close = close

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        await self._close()
        await super().shutdown(sockets)
