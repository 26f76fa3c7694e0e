"""`python -m tests.forking.server SOCKET`: has imported torch, and forks for each request a process that goes on as
`python -m MODULE` would: with the files, the environment, the folder and the process group that are asked for, and as a
child of the process that asks."""

import fcntl
import io
import os
import runpy
import signal
import socket
import subprocess
import sys
import time

import msgspec
import numpy

from components.client.trainer import memory
from tests.forking.popen import Popen, Server
from tests.forking.request import REQUEST_BYTES, Request

with memory.here_to_stay():
    import cli.checking.task_trial
    import cli.experiments.running
    import cli.listing
    import cli.project_run
    import cli.simulating  # noqa: F401
    import components.client.trainer.local_round
    import components.client.trainer.s3.s3_client
    import components.client.trainer.s3.transfer  # noqa: F401
    import simulation.local_clients  # noqa: F401

_FILES = 32
_ABOVE = 512
"""Where no file is that a request has."""


def main() -> None:
    """Serves until the process that asks has ended; a forked process goes on with what it was forked for."""
    asking = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells it all; this one ends with the one that asks
    while (forked := _serve(asking)) is not None:
        asking.close()
        request, files = forked
        own, asking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if request.forks and os.fork() == 0:  # the server for what it will fork
            own.close()
            for file in files:
                os.close(file)
            continue
        _become(request, files, own)
        return


def _serve(asking: socket.socket) -> tuple[Request, list[int]] | None:
    """Returns in the processes that it forks, and when there is nobody to ask."""
    while True:
        message, files, _, _ = socket.recv_fds(asking, REQUEST_BYTES, _FILES)
        if not message:
            return None
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork() != 0:
                os._exit(0)
            request = msgspec.json.decode(message, type=Request)
            _leave(request)
            os.write(writing, b"%d" % os.getpid())
            while os.getppid() != request.parent:
                time.sleep(0.001)
            os.close(reading)
            os.close(writing)
            return request, files
        os.waitpid(between, 0)
        os.close(writing)
        asking.send(os.read(reading, 32))
        for file in (reading, *files):
            os.close(file)


def _leave(request: Request) -> None:
    """From here on, what is sent to its group reaches it."""
    if request.own_session:
        os.setsid()
    elif request.group >= 0:
        os.setpgid(0, request.group)


def _become(request: Request, files: list[int], asking: socket.socket) -> None:
    above = [fcntl.fcntl(file, fcntl.F_DUPFD, _ABOVE) for file in files]
    kept = fcntl.fcntl(asking.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    asking.detach()
    os.closerange(0, _ABOVE)
    for file, number in zip(above, request.files, strict=True):
        os.dup2(file, number)
        os.close(file)
    subprocess.Popen = Popen  # type: ignore[misc]
    Popen.server = Server(socket.socket(fileno=kept))
    if request.umask >= 0:
        os.umask(request.umask)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    numpy.random.seed()  # as no other; Python's own random numbers are new after each fork
    sys.stdin, sys.stdout, sys.stderr = _text(0, "r"), _text(1, "w"), _text(2, "w")
    sys.path[:1] = [request.directory, *filter(None, request.environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[1:] = request.arguments
    sys.modules.pop(request.module, None)  # it is the main module, and no other
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _text(file: int, mode: str) -> io.TextIOWrapper:
    unbuffered = "PYTHONUNBUFFERED" in os.environ and mode == "w"
    return io.TextIOWrapper(
        open(file, f"{mode}b", 0 if unbuffered else -1, closefd=False),
        encoding="utf-8",
        errors="backslashreplace" if file == 2 else "strict",
        line_buffering=file == 2,
        write_through=unbuffered,
    )


if __name__ == "__main__":
    main()
