"""The fedgrass command, and how it ends: with a status, an error in words, and with --json one line for programs."""

import atexit
import gc
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from cli.envelope import Call
from cli.errors.explained import explained, is_bug
from cli.errors.kind import ExitCode, ResultError
from cli.interruptions import interruptible
from cli.registry import command_in
from cli.screen import Screen, flush, write_nothing_more

_STANDARD_ERROR = 2

_ALLOCATIONS_BETWEEN_COLLECTIONS = 5_000
"""Most of what a command makes is what it imports, which is here to stay: looking through it for garbage every 700
objects takes a seventh of the time of a process that imports torch, and once more at its end a sixth."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Entry point. `words` are what is typed behind `fedgrass`."""
    if words is None:
        words = sys.argv[1:]
        gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)
        atexit.register(gc.freeze)
    sys.exit(_run(words))


def _run(words: Sequence[str]) -> int:
    _open_streams()
    call = Call(words, command_in(words))
    try:
        with interruptible():
            status = _give(words, call)
            if call.as_json and call.result is not None:
                call.write()
            flush()
    except (Exception, KeyboardInterrupt) as error:  # whatever it is: a command ends in one way
        return _fail(call, error)
    return status


def _open_streams() -> None:
    """What is closed (`>&-`) is read by nobody; and no file that is opened later is to be in its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - it is open as long as the process is
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what its encoding does not have


def _give(words: Sequence[str], call: Call) -> int:
    import typer

    from cli.listing import PROGRAM, app

    listing = typer.main.get_command(app)
    if "_FEDGRASS_COMPLETE" in os.environ:  # a shell asks, and is answered
        listing(prog_name=PROGRAM)
    try:
        with listing.make_context(PROGRAM, list(words) or ["--help"], obj=call) as context:
            listing.invoke(context)
    except typer.Exit as ended:  # the help was shown, for example
        return ended.exit_code
    return ExitCode.DONE


def _fail(call: Call, error: BaseException) -> int:
    if isinstance(error, ResultError):
        call.result = error.result
    if is_bug(error):
        traceback.print_exception(error)
    failure = explained(error)
    screen = Screen(stderr=True)
    if failure.exit_code == ExitCode.INTERRUPTED:
        screen.line(failure.message)
    else:
        screen.error(failure.message)
    try:
        if call.as_json:
            call.write(failure)
        flush()
    except OSError:
        write_nothing_more()
    return failure.exit_code


if __name__ == "__main__":
    main()
