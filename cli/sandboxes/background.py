"""Starting a sandbox in the background, and ending it."""

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from cli.errors.kind import RelayedError
from cli.interruptions import interrupted_once
from cli.sandboxes.place import Place, SandboxState, SandboxUpError
from sandbox import janitor
from sandbox.polling import NothingHappenedError, eventually

_ROOT = Path(__file__).parent.parent.parent
_TICK_S = 0.1
_STOP_LIMIT_S = 300.0
JANITOR_LIMIT_S = 30.0


class SandboxLostError(Exception):
    """The process that was starting a sandbox has ended."""


def start(place: Place, words: Sequence[str], tell: Callable[[str], None]) -> SandboxState:
    """Give `fedgrass sandbox up` with these words in a process of its own, and return when it is up. `tell` is called
    with what it says meanwhile. If this process is interrupted, that one ends as well.

    Raises:
        RelayedError: it failed.
    """
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with place.log.open("w") as log, place.result.open("w") as result:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "sandbox", "up", *words, "--foreground", "--json"],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=result,
            stderr=log,
            start_new_session=True,  # so that no Ctrl-C reaches it, and the end of this session doesn't end it
        )
    with place.log.open() as log, interrupted_once(lambda: None):  # what is to be said of it, that process says
        ended = False
        try:
            while (state := place.state()) is None or state.pid != process.pid:
                ended = process.poll() is not None
                _relay(log, tell)
                if ended:
                    raise _failure(place, process.returncode)
                time.sleep(_TICK_S)
        except KeyboardInterrupt:
            process.terminate()
            while not ended:
                ended = process.poll() is not None
                _relay(log, tell)
                time.sleep(_TICK_S)
            place.remove()
            raise
    return state


def _relay(log: TextIO, tell: Callable[[str], None]) -> None:
    """Tell what the process has said since, but not how it ended: this command says so itself."""
    for line in itertools.takewhile(lambda line: not line.startswith(("error: ", "interrupted")), log):
        tell(line.rstrip("\n"))


def wait(place: Place) -> SandboxState:
    """The state of a sandbox that another process has, once it is up.

    Raises:
        SandboxLostError: it has ended.
    """
    while (pid := place.holder()) is not None:
        state = place.state()
        if state is not None and state.pid == pid:
            return state
        time.sleep(_TICK_S)
    raise SandboxLostError(f"sandbox {place.name} has ended before it was up; its log: {place.log}")


def stop(place: Place) -> SandboxState | None:
    """End a sandbox, and clean up after one that was killed; what was known of it, None if nothing was."""
    state = place.state()
    while (pid := place.holder()) is not None:
        state = place.state()
        with _process(pid) as process:
            if process is not None and place.holder() == pid:
                _end(process)
    if state is not None:
        _clean_up(Path(state.scratch))
    place.remove()
    return state


@contextlib.contextmanager
def _process(pid: int) -> Iterator[int | None]:
    """A descriptor of it, which never becomes one of another process; None if it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _end(process: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        signal.pidfd_send_signal(process, number)
        if select.select([process], [], [], _STOP_LIMIT_S)[0]:
            return


def _clean_up(scratch: Path) -> None:
    """What a process leaves that is killed together with its janitor, as by a reboot."""
    try:
        eventually(lambda: not scratch.exists(), f"{scratch} to be removed by its janitor", JANITOR_LIMIT_S)
    except NothingHappenedError:
        janitor.kill_all(str(scratch))
        shutil.rmtree(scratch, ignore_errors=True)


def _failure(place: Place, status: int) -> Exception:
    text = place.result.read_text()
    if not text:  # it was killed
        return SandboxLostError(f"sandbox {place.name} ended with status {status}; its log: {place.log}")
    told = json.loads(text)
    return RelayedError(told["error"]["code"], told["exit_code"], told["error"]["message"])


def check_same(state: SandboxState, project: Path | None) -> None:
    """Pass if a sandbox that is up has what is asked for.

    Raises:
        SandboxUpError: it has another project.
    """
    if project is not None and state.project != str(project):
        what = f"{state.federation} of {state.project}" if state.project else "no federation of a project"
        raise SandboxUpError(
            f"sandbox {state.name} is up with {what}: fedgrass sandbox down --name {state.name}, or give another --name"
        )
