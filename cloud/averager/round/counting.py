"""The responses that a round is about to count: a pure value."""

from collections.abc import Mapping

import msgspec

from cloud.state.lifecycle import Counted
from cloud.state.records import ResponseRecord, ResponseState, RoundRecord


class Counting(msgspec.Struct, frozen=True):
    """Responses by client, which may be on record already; `recovered` are the clients whose update takes the place of
    the failure that they reported before."""

    responses: Mapping[str, ResponseRecord] = {}
    recovered: frozenset[str] = frozenset()

    @property
    def event(self) -> Counted:
        """What happens to the round."""
        accepted = sum(response.state == "accepted" for response in self.responses.values())
        recovered = len(self.recovered.intersection(self.responses))
        return Counted(accepted=accepted, failed=len(self.responses) - accepted, recovered=recovered)

    def without(self, known: Mapping[str, ResponseState]) -> "Counting":
        """What is left to count if these clients have a response in this state on record: an update recovers a client
        that failed or declined, any other response is a duplicate."""
        recovered = {
            thing
            for thing, state in known.items()
            if state in ("failed", "declined") and self.responses[thing].state == "accepted"
        }
        left = {thing: one for thing, one in self.responses.items() if thing not in known or thing in recovered}
        return Counting(left, self.recovered | recovered)

    def at(self, record: RoundRecord) -> "Counting":
        """What is left to count in the round as it is now: nothing of what it has expelled meanwhile."""
        return Counting({t: one for t, one in self.responses.items() if t not in record.expelled}, self.recovered)
