"""The component's entry point: `python -m components.client ARTIFACTS`, in the component's work directory."""

import logging
import os
import queue
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

from components.client import __version__, logs
from components.client.agent import configuration, ipc
from components.client.agent.configuration import Configuration, ConfigurationError
from components.client.agent.ipc import Ipc, IpcError
from components.client.agent.service import ConnectionLostError, Event, Service, pause
from components.client.device import SOCKET_VARIABLE

log = logging.getLogger("components.client")

RECHECK_S = 300.0
"""How often a component that is not configured looks whether it is by now."""

RETRY_S = 30.0
"""When a configuration that the nucleus did not give is asked for again."""

EXIT_LOST = 75
"""The nucleus has gone, or does not know this process: it starts the component anew."""

GONE_S = 60.0
"""How long a nucleus that has gone is waited for."""


def _configured(connection: Ipc, events: "queue.SimpleQueue[Event]") -> Configuration:
    """The configuration, once it is complete. To exit would only make the nucleus give up on the component."""
    connection.watch_configuration()
    while True:
        try:
            return configuration.parse(connection.configuration())
        except ConfigurationError as error:
            log.warning("waiting for a usable configuration", extra={"error": error})
            pause(events, RECHECK_S, until=ipc.ConfigurationChanged)
        except IpcError as error:
            log.warning("cannot read the configuration; trying again in %.0f s", RETRY_S, extra={"error": error})
            pause(events, RETRY_S)


def _wait_for_nucleus() -> None:
    """Returns when the nucleus takes connections, or after a while. Nucleus lite starts a component three times an
    hour: none of these starts shall be spent on a time when it is not there."""
    path = os.environ.get(SOCKET_VARIABLE, "")
    given_up_at = time.monotonic() + GONE_S
    while time.monotonic() < given_up_at:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        time.sleep(1.0)


def _keep_others_out(work: Path) -> None:
    """What this process writes, and what an earlier one wrote, is for its own user: models and updates tell of data."""
    os.umask(0o077)
    try:
        work.chmod(0o700)
    except OSError as error:
        log.warning("cannot close the work directory to other users", extra={"error": error})


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends the process, wherever the main thread is: all that has to survive is written in one step."""
    signal.signal(number, signal.SIG_IGN)  # a second one shall not cut short what the first one began
    sys.exit(0)


def main(arguments: list[str]) -> int:
    """Runs until SIGTERM (status 0), or until the connection to the nucleus is lost and the nucleus is back (status
    75)."""
    if len(arguments) != 1:
        print("usage: python -m components.client ARTIFACTS", file=sys.stderr)  # noqa: T201
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    _keep_others_out(Path.cwd())
    thing = os.environ["AWS_IOT_THING_NAME"]
    try:
        while True:
            logs.configure(thing=thing)
            events: queue.SimpleQueue[Event] = queue.SimpleQueue()
            connection = Ipc(events.put)
            settings = _configured(connection, events)
            logs.configure(federation=settings.federation, thing=thing)
            log.info("started, version %s", __version__)
            Service(settings, thing, Path(arguments[0]).resolve(), Path.cwd(), connection, events).run()
            connection.close()
    except (IpcError, ConnectionLostError) as error:
        log.warning("the nucleus is not there", extra={"error": error})
    _wait_for_nucleus()
    return EXIT_LOST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
