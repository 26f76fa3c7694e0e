"""A package index on loopback, as pip uses one, on a line that can be cut and held up."""

import hashlib
import io
import random
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

CHUNK_BYTES = 4096


def write_wheel(target: BinaryIO, name: str, version: str, size_bytes: int = 0) -> None:
    """A package with one module, which says its version; with so many bytes that no archive makes smaller."""
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(target, "w") as wheel:
        contents: dict[str, str | bytes] = {
            f"{name}.py": f"VERSION = {version!r}\n",
            f"{name}.bin": random.Random(0).randbytes(size_bytes),  # noqa: S311
            f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{information}/RECORD": "",
        }
        for path, content in contents.items():
            wheel.writestr(zipfile.ZipInfo(path), content)  # whose time is always the same


class PackageIndex:
    """Serves the wheels that it is told to offer.

    A file that is in `held_up` is given that many bytes of, and then `reached` is set, and no more comes until
    `released` is; one in `cuts` loses its connection after so many bytes, each time. Each is said to have at least
    `claimed_bytes`. `asked` has each request for a wheel, with its Range, `sent` how many bytes of wheels went out.
    Used as a proxy, it answers for all hosts.
    """

    def __init__(self) -> None:
        self.ranges = True
        self.claimed_bytes = 0
        self.spoilt: set[str] = set()
        self.held_up: dict[str, int] = {}
        self.cuts: dict[str, int] = {}
        self.reached = threading.Event()
        self.released = threading.Event()
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self._wheels: dict[str, bytes] = {}
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, name = unquote(urlsplit(self.path).path).strip("/").split("/")
                if kind == "simple":
                    index._list(self, name)
                elif name in index._wheels:
                    index._give(self, name)
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        """Of its simple API."""
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def offer(self, name: str, version: str, size_bytes: int = 0) -> str:
        """Put a wheel into the index; its file's name."""
        wheel = io.BytesIO()
        write_wheel(wheel, name, version, size_bytes)
        file = f"{name}-{version}-py3-none-any.whl"
        self._wheels[file] = wheel.getvalue()
        return file

    def sha256(self, file: str) -> str:
        """A wheel's hash."""
        return hashlib.sha256(self._wheels[file]).hexdigest()

    def size(self, file: str) -> int:
        """A wheel's bytes."""
        return len(self._wheels[file])

    def close(self) -> None:
        """Let what is held up go, and stop."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _list(self, handler: BaseHTTPRequestHandler, project: str) -> None:
        files = [file for file in self._wheels if file.split("-")[0] == project]
        links = [f'<a href="/files/{quote(file)}#sha256={self.sha256(file)}">{file}</a>' for file in files]
        body = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
        handler.send_response(200 if files else 404)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _give(self, handler: BaseHTTPRequestHandler, file: str) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append((file, wanted))
        whole = self._wheels[file]
        if file in self.spoilt:
            whole = whole[:-1] + b"x"
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if start >= len(whole):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if wanted and self.ranges else 200)
        handler.send_header("Content-Length", str(max(len(whole), self.claimed_bytes) - start))
        handler.end_headers()
        try:
            for chunk in self.chunks(file, whole[start:]):
                handler.wfile.write(chunk)
                self.sent += len(chunk)
        except OSError:
            pass  # who asked is gone
        handler.close_connection = True

    def chunks(self, file: str, rest: bytes) -> Iterator[bytes]:
        """What is sent of the rest of a file, bit by bit."""
        yield from _cut(rest[: self.cuts.get(file, self.held_up.get(file, len(rest)))])
        if file in self.held_up:
            held_up = self.held_up.pop(file)
            self.reached.set()
            self.released.wait()
            yield from _cut(rest[held_up:])


def _cut(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
