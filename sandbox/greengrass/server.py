"""Serves the API on loopback, to the embedded AWS alone, which has authorized each call that it passes on."""

import hmac
import logging
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.exceptions import EndpointConnectionError, HTTPClientError

from sandbox.greengrass.errors import ServiceError
from sandbox.greengrass.service import Greengrass
from sandbox.greengrass.wire import Answer, Wire

logger = logging.getLogger(__name__)

_TOKEN_HEADER = "X-Sandbox-Token"  # noqa: S105  (a header's name)
_MAX_LINE_BYTES = 65_536


class GreengrassServer:
    """Serves from start to stop.

    Attributes:
        port: on 127.0.0.1, once started.
        headers: what a call has to have.
    """

    def __init__(self, service: Greengrass) -> None:
        self.service = service
        self.headers = {_TOKEN_HEADER: secrets.token_urlsafe(24)}
        self._wire = Wire()

    def start(self) -> None:
        """Listen on a free port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="greengrass", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when nothing is served any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, method: str, target: str, token: str, body: bytes) -> Answer:
        if not hmac.compare_digest(token, self.headers[_TOKEN_HEADER]):
            return Answer(HTTPStatus.FORBIDDEN, {}, b"")
        try:
            call = self._wire.read(method, target, body)
            return self._wire.answer(call.operation, self.service.call(call.operation, call.parameters))
        except ServiceError as error:
            return self._wire.refusal(error)
        except (EndpointConnectionError, HTTPClientError) as error:  # the embedded AWS has ended, and this is about to
            return self._wire.refusal(ServiceError(str(error)))
        except Exception as error:
            logger.exception("%s %s", method, target)
            return self._wire.refusal(ServiceError(f"{type(error).__name__}: {error}"))


def _handler(answer_to: Callable[[str, str, str, bytes], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(_MAX_LINE_BYTES)
            if not self.raw_requestline or not self.parse_request():
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = answer_to(self.command, self.path, self.headers.get(_TOKEN_HEADER, ""), body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            logger.debug(format, *arguments)

    return Handler
