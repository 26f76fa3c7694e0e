"""A component that speaks IPC in raw frames, as no correct client would: on a device's socket, with a probe's token."""

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from sandbox.nucleus.eventstream import Decoder, Flags, Frame, MessageType, encode
from tests.sandbox.probe import LIMIT_S, Probe

SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"


class Answer(msgspec.Struct, frozen=True):
    """`model` is the answer's name in Greengrass's IPC model, without its prefix."""

    model: str
    body: dict[str, Any]


class RawComponent:
    """Connected for the time of a `with` block."""

    def __init__(self, probe: Probe) -> None:
        path = Path(probe.call("environment")["variables"][SOCKET])
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(LIMIT_S)
        self._socket.connect(str(path))
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._stream = 0
        token = json.dumps({"authToken": probe.svcuid}).encode()
        self.send(Frame(type=MessageType.CONNECT, headers={":version": "0.1.0"}, payload=token))
        acknowledged = self.receive()
        assert acknowledged is not None
        assert acknowledged.flags == Flags.CONNECTION_ACCEPTED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, frame: Frame) -> None:
        self._socket.sendall(encode(frame))

    def receive(self) -> Frame | None:
        """The next frame; None when the nucleus has closed the connection."""
        while not self._frames:
            data = self._socket.recv(65_536)
            if not data:
                return None
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def ask(self, operation: str, request: dict[str, Any] | bytes) -> Answer:
        """The answer to a request."""
        return self.ask_at_once(operation, [request])[0]

    def ask_at_once(self, operation: str, requests: list[Any]) -> list[Answer]:
        """The answers to requests, of which none waits for another's answer."""
        first = self._stream + 1
        for request in requests:
            self._stream += 1
            payload = request if isinstance(request, bytes) else json.dumps(request).encode()
            headers = {"operation": f"aws.greengrass#{operation}"}
            self.send(
                Frame(type=MessageType.APPLICATION_MESSAGE, stream=self._stream, headers=headers, payload=payload)
            )
        answers: dict[int, Answer] = {}
        while len(answers) < len(requests):
            frame = self.receive()
            assert frame is not None, "the nucleus has closed the connection"
            name = str(frame.headers["service-model-type"]).removeprefix("aws.greengrass#")
            answers[frame.stream] = Answer(name, json.loads(frame.payload))
        return [answers[first + index] for index in range(len(requests))]
