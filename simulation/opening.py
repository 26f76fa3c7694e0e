"""When the next round opens in simulated time."""

from collections.abc import Collection

from cloud.initiator.readiness import LOOK_S
from cloud.state.records import FederationRecord
from simulation.devices import Fleet


def opening(federation: FederationRecord, things: Collection[str], fleet: Fleet, now: float) -> tuple[float, int]:
    """The time, and how often was looked before whether enough clients are there. The clients that were there the last
    time are those that hear of the round."""
    pacing, round_number, look = federation.settings.pacing, federation.round + 1, 0
    if pacing.ready is None:
        return max(now, federation.next_at), look
    while now < federation.next_at:
        there = sum(fleet.is_available(thing, round_number, look) for thing in things)
        if pacing.is_enough(there, len(things)):
            break
        now, look = min(now + LOOK_S, federation.next_at), look + 1
    return now, look
