"""Cleans up after a process that may be killed: `python janitor.py DIRECTORY`, run as a script, with a pipe from that
process as standard input.

At the pipe's end it kills every process that was started with one of `VARIABLES` naming something in the directory,
and removes the directory. Nobody else's process has that, as the directory's name is unique.
"""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

VARIABLES = ("TMPDIR", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT")


def main() -> None:
    """Wait, then clean up."""
    directory = sys.argv[1]
    while os.read(0, 4096):
        pass
    kill_all(directory)
    shutil.rmtree(directory, ignore_errors=True)
    # A process that was being started may have been overlooked, or have written while its files were removed.
    kill_all(directory)
    shutil.rmtree(directory, ignore_errors=True)
    sys.exit(Path(directory).exists())


def kill_all(directory: str) -> None:
    """SIGKILL the processes that belong to the directory, until there are none."""
    while found := list(_processes_of(directory)):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _processes_of(directory: str) -> Iterator[int]:
    entries = [f"{name}={directory}/".encode() for name in VARIABLES]
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            environment = (process / "environ").read_bytes()
        except OSError:  # it has ended, or is someone else's
            continue
        if any(variable.startswith(tuple(entries)) for variable in environment.split(b"\0")):
            yield int(process.name)


if __name__ == "__main__":
    main()
