"""Finds out that the component's configuration has changed: when it is told so, and now and then by looking.

A nucleus may stop telling without a word: nucleus lite does when its configuration daemon restarts.
"""

import logging
from typing import Any

from components.client.agent import configuration
from components.client.agent.configuration import Configuration, ConfigurationError
from components.client.agent.ipc import Ipc, IpcError

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""A deployment changes one key after the other: so long after the last one all are taken up."""


class Reconfiguration:
    """Begins with the configuration that is known. Not thread-safe: it belongs to the agent's loop."""

    def __init__(self, connection: Ipc, current: Configuration, now: float) -> None:
        self._connection = connection
        self._current = current
        self._seen: dict[str, Any] | None = None
        self._told = False
        self._due = now + current.reconcile_s

    def on_told(self, now: float) -> None:
        """Takes note that something has changed."""
        self._told = True
        self._due = now + SETTLE_S

    def next_wake(self) -> float:
        """When `tick` has something to do."""
        return self._due

    def tick(self, now: float) -> Configuration | None:
        """The new configuration if it is time to look, and there is one that can be worked with."""
        if now < self._due:
            return None
        told, self._told = self._told, False
        new = self._read()
        self._due = now + self._current.reconcile_s
        if new is None or new == self._current:
            return None
        log.info("configuration changed")
        if not told:
            self._connection.watch_configuration()
        self._current = new
        self._due = now + new.reconcile_s
        return new

    def _read(self) -> Configuration | None:
        try:
            raw = self._connection.configuration()
            if raw == self._seen:
                return None
            self._seen = raw
            return configuration.parse(raw)
        except (ConfigurationError, IpcError) as error:
            log.warning("going on with the configuration that was", extra={"error": error})
            return None
