"""What nucleus lite leaves to systemd in a startup step: the component is up when a process of its says so."""

import asyncio
import contextlib
import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

APPENDED = "\nsystemd-notify --ready\nsystemd-notify --stopping\n"
"""What nucleus lite writes below every startup script."""

_MAX_MESSAGE_BYTES = 4096
_MAX_DESCRIPTORS = 16


class NotifySocket:
    """systemd's end of NOTIFY_SOCKET, and the `systemd-notify` of a version of it, which talks to it.

    `ready` is set, and `on_ready` called, when the component has said READY=1; `stopping` is set when it has said
    STOPPING=1. To be used in an event loop, and closed.
    """

    def __init__(self, version: int, directory: Path, on_ready: Callable[[], None]) -> None:
        """`directory` is where the executable is put."""
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self._directory = directory
        self._on_ready = on_ready
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("")  # Linux finds a name that is on no disk
        directory.mkdir(parents=True, exist_ok=True)
        program = directory / "systemd-notify"
        arguments = [sys.executable, "-I", str(Path(__file__).with_name("systemd_notify.py")), str(version)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(arguments)} "$@"\n')
        program.chmod(0o755)
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """A process's environment, with the way to this socket."""
        name = self._socket.getsockname().decode().replace("\0", "@", 1)
        path = f"{self._directory}{os.pathsep}{environment['PATH']}"
        return {**environment, "NOTIFY_SOCKET": name, "PATH": path}

    def close(self) -> None:
        """Take in what has been said, and no more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._receive()
        self._socket.close()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message, descriptors, _, _ = socket.recv_fds(self._socket, _MAX_MESSAGE_BYTES, _MAX_DESCRIPTORS)
                for descriptor in descriptors:
                    os.close(descriptor)  # which is what the sender of BARRIER=1 waits for
                for line in message.decode(errors="replace").splitlines():
                    if line == "READY=1" and not self.ready.is_set():
                        self.ready.set()
                        self._on_ready()
                    elif line == "STOPPING=1":
                        self.stopping.set()
