"""Hellos: what clients say of themselves. All of it is a device's word, of which it may send as many as it likes."""

import logging
import time

import msgspec

from cloud.log_lines import about
from cloud.services import Services
from cloud.state.federations import UnknownFederationError
from cloud.state.ttl_cache import Recent
from protocol import names
from protocol.messages import MAX_MESSAGE_BYTES, Hello, InvalidMessageError, decode

_log = logging.getLogger(__name__)

HEARD_S = 60.0
"""A hello that says for the second time within a minute what it said before is ignored."""

KEPT_S = 7 * 86_400
"""A hello to a federation that there is not is kept for a week, for it may be made yet."""


class _Greeting(msgspec.Struct):
    federation: str
    thing: str


class Greeter:
    """Hears the hellos of an execution environment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._heard: Recent[tuple[str, str], Hello] = Recent(HEARD_S)

    def greet(self, body: str) -> None:
        """Record what a client says of itself, if it may be one."""
        if len(body) > MAX_MESSAGE_BYTES:
            _log.warning("hello refused: it has %d characters: %.200s", len(body), body)
            return
        try:
            greeting = msgspec.json.decode(body, type=_Greeting)
            federation, thing = names.check_federation(greeting.federation), names.check_thing(greeting.thing)
            hello = decode(body, Hello)
        except (msgspec.DecodeError, names.InvalidNameError, InvalidMessageError) as error:
            _log.warning("hello refused: %s", error)
            return
        if self._heard.get((federation, thing)) == hello:
            return
        self._hear(federation, thing, hello)
        self._heard.put((federation, thing), hello)

    def _hear(self, federation: str, thing: str, hello: Hello) -> None:
        services, now = self._services, time.time()
        try:
            record = services.federations.get(federation)
        except UnknownFederationError:
            _log.info("said hello before there is such a federation", extra=about(federation, thing=thing))
            services.clients.greet(federation, thing, hello, now, expires_at=now + KEPT_S)
            return
        if thing in record.expelled:
            _log.warning("hello refused: it was expelled", extra=about(federation, thing=thing))
            return
        group = record.settings.thing_group
        if group is not None and group not in services.groups.of(thing):
            _log.warning("hello refused: it is not in thing group %s", group, extra=about(federation, thing=thing))
            return
        services.clients.greet(federation, thing, hello, now)
        if record.waiting and record.status == "running":
            services.notices.ask_for_round(record.next_round, now)
