"""A thing that a round is about to expel: a pure value."""

from collections.abc import Mapping

import msgspec

from cloud.state.lifecycle import Expelled
from cloud.state.records import EXPELLED, ResponseRecord, ResponseState, RoundRecord


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
