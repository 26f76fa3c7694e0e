"""`subprocess.Popen`, which has those processes forked that begin with the import of torch, or of much else that their
server has, or start some that do.

tests/forking/test_forking.py compares what is forked with what is started. From outside, the command line tells them
apart: a test finds a process by its number.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.forking.request import REQUEST_BYTES, Request
from tests.paths import ROOT

FORKED = (
    ("benchmarks.simulators.serve",),
    ("components.client.trainer.process",),
    ("cli.checking.trial",),
    ("simulation.child",),
    ("sandbox.scoring",),
    ("trials.shapes.judge",),
    ("cli.main", "check"),
    ("cli.main", "dashboard"),
    ("cli.main", "demo"),
    ("cli.main", "experiment"),
    ("cli.main", "init"),
    ("cli.main", "run"),
    ("cli.main", "simulate"),
    ("cli.main", "update"),
    ("cli.main", "watch"),
)
"""What is forked: `python -m` with these words."""

_PR_SET_CHILD_SUBREAPER = 36


class Server:
    """The process that forks them; started with the first."""

    def __init__(self, asking: socket.socket | None = None) -> None:
        self._lock = threading.Lock()
        self._asking = asking

    def fork(self, request: Request, files: Sequence[int]) -> int:
        """The process id of a new child of this process.

        Raises:
            OSError: it can't be forked.
        """
        with self._lock:
            if self._asking is None:
                self._asking = self._start()
            with _taking_children_over():
                socket.send_fds(self._asking, [msgspec.json.encode(request)], files)
                answer = self._asking.recv(32)
        if not answer:
            raise OSError(f"{request.module} can't be forked; what tests/forking/server.py has written says why")
        return int(answer)

    def stop(self) -> None:
        """Ends it, if there is one; what was forked stays."""
        if self._asking is not None:
            self._asking.close()
            self._process.wait()
            self._asking = None

    def _start(self) -> socket.socket:
        asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * REQUEST_BYTES)
        with answering:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking.server", str(answering.fileno())],
                cwd=ROOT,
                pass_fds=[answering.fileno()],
            )
        return asking


@contextlib.contextmanager
def _taking_children_over() -> Iterator[None]:
    """A process whose parent ends meanwhile becomes a child of this one."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0)


class Popen(subprocess.Popen[Any]):
    """As it is, but for what is in `FORKED`, while there is a server."""

    server: Server | None = None

    def _execute_child(self, args: Any, executable: Any, *rest: Any) -> None:
        if self.server is None or not isinstance(args, list | tuple) or not _is_forked(args):
            super()._execute_child(args, executable, *rest)  # type: ignore[misc]
            return
        _, _, pass_fds, directory, environment, _, _, _, *pipes = rest[:14]
        *_, umask, own_session, group = rest
        child_in, _, _, child_out, _, child_error = pipes
        files = {number: number for number in pass_fds}
        files |= {0: 0 if child_in == -1 else child_in, 1: 1 if child_out == -1 else child_out}
        files |= {2: 2 if child_error == -1 else child_error}
        request = Request(
            module=args[2],
            arguments=list(args[3:]),
            environment=dict(os.environ if environment is None else environment),
            directory=str(directory or Path.cwd()),
            files=list(files),
            group=group,
            own_session=own_session,
            umask=umask,
            parent=os.getpid(),
            forks=args[2] == "cli.main",
        )
        self.pid = self.server.fork(request, list(files.values()))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def _is_forked(words: Sequence[str | Path]) -> bool:
    given = tuple(map(str, words))
    return given[:2] == (sys.executable, "-m") and any(given[2 : 2 + len(each)] == each for each in FORKED)
