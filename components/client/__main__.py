"""The component's entry point: `python -m components.client ARTIFACTS`, in the component's work directory."""

import logging
import os
import queue
import signal
import sys
from pathlib import Path
from types import FrameType

from components.client import __version__, configuration, ipc, logs
from components.client.configuration import Configuration, ConfigurationError
from components.client.ipc import Ipc, IpcError
from components.client.service import ConnectionLostError, Event, Service, pause

log = logging.getLogger("components.client")

RECHECK_S = 300.0
"""How often a component that is not configured looks whether it is by now."""

EXIT_LOST = 75
"""The nucleus has gone, or does not answer: it starts the component anew."""


def _configured(connection: Ipc, events: "queue.SimpleQueue[Event]") -> Configuration:
    """The configuration, once it is complete. To exit would only make the nucleus give up on the component."""
    try:
        connection.watch_configuration()
    except IpcError as error:
        log.info("this nucleus does not tell of changes of the configuration", extra={"error": error})
    while True:
        try:
            return configuration.parse(connection.configuration())
        except ConfigurationError as error:
            log.warning("waiting for a usable configuration", extra={"error": error})
        pause(events, RECHECK_S, until=ipc.ConfigurationChanged)


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends the process, wherever the main thread is: all that has to survive is written in one step."""
    signal.signal(number, signal.SIG_IGN)  # a second one shall not cut short what the first one began
    sys.exit(0)


def main(arguments: list[str]) -> int:
    """Runs until SIGTERM (status 0) or until the connection to the nucleus is lost (status 75)."""
    if len(arguments) != 1:
        print("usage: python -m components.client ARTIFACTS", file=sys.stderr)  # noqa: T201
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
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
    return EXIT_LOST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
