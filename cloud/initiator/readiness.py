"""Whether a round opens before its time, since enough clients have said that they are ready.

Nothing is there to count them but what comes anyway: the request for the round, when the last one ends and each time
that SQS delivers it before its time, and the schedule's wake-ups.
"""

from cloud.services import Services
from cloud.state.records import FederationRecord

LOOK_S = 300.0
"""How often the schedule wakes the initiator (see template.yaml)."""


def are_ready(services: Services, federation: FederationRecord, now: float) -> bool:
    """Whether so many of the federation's clients are ready as its pacing waits for; of other pacing, no."""
    pacing, group = federation.settings.pacing, federation.settings.thing_group
    if pacing.ready is None:
        return False
    members = None if group is None else services.groups.recent_members(group, now)
    told = [
        is_ready
        for thing, is_ready in services.clients.readiness(federation.federation).items()
        if thing not in federation.expelled and (members is None or thing in members)
    ]
    return pacing.is_enough(sum(told), len(told))
