"""What a round is about to count: responses, or that a thing is expelled. Pure values."""

from collections.abc import Mapping

import msgspec

from cloud.state.lifecycle import Counted, Expelled
from cloud.state.records import EXPELLED, ResponseRecord, ResponseState, RoundRecord


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


class Expelling(msgspec.Struct, frozen=True, kw_only=True):
    """What is written when a thing is expelled at a time: a client of the round has failed from then on. `before` is
    its response so far, as far as known."""

    thing: str
    at_time: float
    is_client: bool
    before: ResponseState | None = None

    @property
    def event(self) -> Expelled:
        """What happens to the round."""
        return Expelled(self.thing, self.before)

    @property
    def responses(self) -> dict[str, ResponseRecord]:
        """What is recorded of the thing."""
        if not self.is_client:
            return {}
        failed = ResponseRecord(
            thing=self.thing, state="failed", arrived_at=self.at_time, inspected_at=self.at_time, reason=EXPELLED
        )
        return {self.thing: failed}

    @property
    def recovered(self) -> frozenset[str]:
        """The thing, if it has a response whose place the new one takes."""
        return frozenset({self.thing} if self.before else ())

    def without(self, known: Mapping[str, ResponseState]) -> "Expelling":
        """The same, since its response is known."""
        return msgspec.structs.replace(self, before=known[self.thing])

    def at(self, _: RoundRecord) -> "Expelling":
        """The same for the round as it is now: it may have another response of the thing."""
        return msgspec.structs.replace(self, before=None)
