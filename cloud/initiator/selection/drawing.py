"""Whom a policy chooses among: all of a small fleet; of a large one, clients drawn at random. So what opening a round
takes grows with its cohort, not with the fleet. Pure.

Clients have places in a random order. It is cut into sectors, and what is read of each is a window, all of one width
and from one random offset on: each client is in a window with the same probability. The clients in them are shuffled,
and taken one after another. If too few of them take part, the windows go on to where they meet.
"""

import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from cloud.initiator.selection import selection_policy_of
from cloud.initiator.selection.policy import WHOLE_FLEET
from cloud.settings import Federation, Selection, cohort_of
from cloud.state.places import PLACES, Window, window, within
from cloud.state.records import ClientRecord

DRAWN = 5_000  # so that a WHOLE_FLEET is among them, whatever chance does
SECTORS = 4
_SECTOR = PLACES // SECTORS
_DEVIATIONS = 6  # standard deviations: chance does not do that


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """Clients that take part, in the order of their names, and are not busy. They stand for `known` clients that take
    part. `fits` says whether as many were found as there had to be in a fleet of the size that was told."""

    clients: Sequence[ClientRecord]
    known: int
    fits: bool = True


def draw(
    fleet: int,
    selection: Selection,
    round_number: int,
    names_in: Callable[[Sequence[Window]], Iterable[str]],
    records_of: Callable[[Sequence[str]], Iterable[ClientRecord]],
    takes_part: Callable[[str], bool],
    busy: Collection[str] = (),
) -> Drawn:
    """Clients of a large fleet, which has about so many. `names_in` gives the things with these places, and
    `records_of` the records of things; one that has none is left out. The same arguments always draw the same."""
    wanted = selection_policy_of(selection.policy).pool(cohort_of(selection, fleet)) - len(busy)
    generator = random.Random(f"{selection.seed}/{round_number}/draw")  # noqa: S311 - reproducible, not secret
    start, width = generator.randrange(_SECTOR), max(1, min(_SECTOR, _SECTOR * DRAWN // fleet))
    covered = looked_at = taking_part = 0
    found: list[ClientRecord] = []
    while not covered or (len(found) < wanted and covered < _SECTOR):
        width = min(width, _SECTOR - covered)
        things = sorted(names_in(_windows(start + covered, width)))
        generator.shuffle(things)
        clients = [thing for thing in things if takes_part(thing)]
        idle = [thing for thing in clients if thing not in busy]
        while idle and len(found) < wanted:
            missing = wanted - len(found)
            found += records_of(idle[:missing])
            del idle[:missing]
        covered += width
        looked_at += len(things)
        taking_part += len(clients)
    expected = fleet * covered / _SECTOR
    return Drawn(
        clients=sorted(found, key=lambda client: client.thing),
        known=taking_part if covered == _SECTOR else round(fleet * taking_part / max(1, looked_at)),
        fits=abs(looked_at - expected) <= _DEVIATIONS * math.sqrt(expected),
    )


def pool_of(
    clients: Mapping[str, ClientRecord], settings: Federation, round_number: int, busy: Collection[str] = ()
) -> Drawn:
    """Whom a round chooses among, of clients that are all at hand and take part, by their things."""
    if len(clients) <= WHOLE_FLEET:
        return Drawn(clients=list(clients.values()), known=len(clients))
    return draw(
        len(clients),
        settings.selection_in(round_number),
        round_number,
        names_in=lambda windows: within(settings.name, clients, windows),
        records_of=lambda things: [clients[thing] for thing in things],
        takes_part=lambda _thing: True,
        busy=busy,
    )


def _windows(offset: int, width: int) -> list[Window]:
    """The windows of this width at this offset of each sector. One that reaches the end of its sector goes on at its
    beginning."""
    offset %= _SECTOR
    at_end = min(width, _SECTOR - offset)
    spans = [(offset, at_end), (0, width - at_end)]
    return [window(sector * _SECTOR + begin, length) for sector in range(SECTORS) for begin, length in spans if length]
