"""Whom a federation's next round can select: read whole while the fleet is small, drawn from a random order when it is
large (`selection/drawing.py`)."""

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence

from cloud.initiator.selection.drawing import Drawn, draw
from cloud.initiator.selection.policy import WHOLE_FLEET
from cloud.log_lines import about
from cloud.services import Services
from cloud.state.batches import KEYS_AT_ONCE
from cloud.state.clients import COUNTED_S
from cloud.state.places import Window, within
from cloud.state.records import ClientRecord, FederationRecord, FleetCount

_log = logging.getLogger(__name__)

KEPT_AT_ONCE = 1_000
"""So many records are brought up to date at a time: the wake-ups do the rest."""


def candidates(
    services: Services,
    federation: FederationRecord,
    takes_part: Callable[[str], bool],
    busy: Sequence[str],
    now: float,
) -> Drawn:
    """The clients to select from."""
    fleet = federation.fleet
    if fleet is None:
        whole = services.clients.of_small(federation.federation, WHOLE_FLEET)
        if whole is not None:
            clients = [client for client in whole if takes_part(client.thing)]
            return Drawn(clients=clients, known=len(clients))
    if fleet is None or now - fleet.counted_at > COUNTED_S:
        fleet = count(services, federation, now)
    drawn = _drawn(services, federation, fleet, takes_part, busy)
    if not drawn.fits and fleet.counted_at < now:
        _log.warning("has not %d clients any more: counting", fleet.clients, extra=about(federation.federation))
        drawn = _drawn(services, federation, count(services, federation, now), takes_part, busy)
    return drawn


def count(services: Services, federation: FederationRecord, now: float) -> FleetCount:
    """Count a large fleet, and bring up to date what records need it: those that no version with places has written,
    and those that would expire, of devices that said hello before there was the federation."""
    census = services.clients.census(federation.federation)
    list(services.parallel.map(services.clients.keep, itertools.islice(census.to_keep, KEPT_AT_ONCE)))
    fleet = FleetCount(clients=census.clients, counted_at=now, placed=not census.to_keep)
    services.federations.set_fleet(federation, fleet if census.clients > WHOLE_FLEET else None)
    _log.info(
        "has %d clients, of which %d have no place yet, or would expire",
        census.clients,
        len(census.to_keep),
        extra=about(federation.federation),
    )
    return fleet


def _drawn(
    services: Services,
    federation: FederationRecord,
    fleet: FleetCount,
    takes_part: Callable[[str], bool],
    busy: Sequence[str],
) -> Drawn:
    name = federation.federation

    def names_in(windows: Sequence[Window]) -> Iterable[str]:
        if not fleet.placed:
            return within(name, services.clients.things(name), windows)
        found = services.parallel.map(lambda window: services.clients.within(name, window), windows)
        return itertools.chain.from_iterable(found)

    def records_of(things: Sequence[str]) -> Iterable[ClientRecord]:
        found = services.parallel.map(
            lambda start: services.clients.these(name, things[start : start + KEYS_AT_ONCE]),
            range(0, len(things), KEYS_AT_ONCE),
        )
        return itertools.chain.from_iterable(found)

    selection = federation.settings.selection_in(federation.round + 1)
    return draw(
        max(1, fleet.clients), selection, federation.round + 1, names_in, records_of, takes_part, frozenset(busy)
    )
