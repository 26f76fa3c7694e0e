"""The process that tries a task and its policies out: whatever they do to their process, they do it to this one.

Run as `python -m cli.checking.trial TRACES [torch]`: a file for what faulthandler writes, and whether torch will be
needed. It takes a request (findings.Request) as a line of JSON on its standard input, and says on its standard output
what it finds, as lines of JSON (findings.Event). What the task prints goes to standard error.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

import msgspec

from cli.checking.findings import Entered, Event, Finished, Request
from cli.checking.trying import try_out
from components.client.trainer import memory

_PR_SET_PDEATHSIG = 1
_MEMORY_SHARE = 0.9


def main() -> None:
    """Do what the request asks for."""
    events = os.dup(1)
    os.set_inheritable(events, False)
    os.dup2(2, 1)

    def say(event: Event) -> None:
        os.write(events, msgspec.json.encode(event) + b"\n")

    with Path(sys.argv[1]).open("w") as traces:
        needs_torch = "torch" in sys.argv[2:]
        _prepare(traces)
        say(Entered("the import of torch" if needs_torch else "the start of Python"))
        if needs_torch:
            _import_torch()
        line = sys.stdin.buffer.readline()
        if not line:
            return  # nothing is wanted
        request = msgspec.json.decode(line, type=Request, dec_hook=lambda kind, text: kind(text))
        _empty_stdin()
        sys.argv[:] = sys.argv[:1]
        sys.dont_write_bytecode = True  # the task's folder is the user's
        os.chdir(request.model.parent)
        end = _tracing_exits(traces)
        try_out(request, say)
        say(Finished())
        end(0)  # threads that the task has left do not matter


def _prepare(traces: TextIO) -> None:
    """Have a crash leave a trace, and SIGUSR1; and the process end with the one that started it, at the latest."""
    faulthandler.enable(traces)
    faulthandler.register(signal.SIGUSR1, traces)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _import_torch() -> None:
    with memory.here_to_stay():
        import torch

        from cli.checking import task_trial  # noqa: F401 - while the request is being made

    torch.set_num_threads(1)
    if not torch.cuda.is_available():  # its libraries map more than there is
        _limit_memory()


def _limit_memory() -> None:
    """A task that asks for more and more gets an error, rather than this machine no answer."""
    used = _kilobytes(Path("/proc/self/status"), "VmData:")
    available = _kilobytes(Path("/proc/meminfo"), "MemAvailable:")
    if available:
        memory.limit((used + available * _MEMORY_SHARE) * 1024 / 1e6)


def _kilobytes(path: Path, field: str) -> int:
    lines = path.read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _empty_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = os.fdopen(0, closefd=False)


def _tracing_exits(traces: TextIO) -> Callable[[int], NoReturn]:
    """Has os._exit() say where it was called; gives what it was."""
    end, process = os._exit, os.getpid()

    def note_and_exit(status: int) -> NoReturn:
        if os.getpid() == process:
            traceback.print_stack(file=traces)
            traces.flush()
        end(status)

    os._exit = note_and_exit
    return end


if __name__ == "__main__":
    main()
