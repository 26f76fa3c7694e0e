"""The clients that are at work: whose answer comes when, in the order of simulated time, and of names."""

import heapq
from collections.abc import Iterable, Iterator

import msgspec

from protocol.messages import Timings
from simulation.backend import NotDone


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """When a client's answer to its assignment of a round arrives: its update, unless it is known that none `comes`."""

    at: float
    thing: str
    round: int
    timings: Timings | None = None
    failure: NotDone | None = None


class InFlight:
    """The answers that are to come, one a client: a newer assignment takes the place of an older one."""

    def __init__(self, arrivals: Iterable[Arrival] = ()) -> None:
        self._of: dict[str, Arrival] = {}
        self._order: list[tuple[float, str, int]] = []
        for arrival in arrivals:
            self.add(arrival)

    def __iter__(self) -> Iterator[Arrival]:
        """In the order of arrival."""
        return iter(sorted(self._of.values(), key=lambda arrival: (arrival.at, arrival.thing)))

    def add(self, arrival: Arrival) -> None:
        """Expects an answer."""
        self._of[arrival.thing] = arrival
        heapq.heappush(self._order, (arrival.at, arrival.thing, arrival.round))

    def drop(self, things: Iterable[str]) -> None:
        """Expects nothing of these any more."""
        for thing in things:
            self._of.pop(thing, None)

    def next(self, until: float) -> Arrival | None:
        """Takes the answer that comes first, if it comes until then."""
        while self._order and self._order[0][0] <= until:
            at, thing, round_number = heapq.heappop(self._order)
            arrival = self._of.get(thing)
            if arrival is not None and (arrival.at, arrival.round) == (at, round_number):
                return self._of.pop(thing)
        return None
