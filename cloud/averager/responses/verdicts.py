"""What is found of a response: one value, which each stage of receiving passes on to the next."""

import time
from collections.abc import Iterable
from typing import Literal

import msgspec

from cloud.averager.responses.inspection import Inspected
from cloud.averager.responses.messages import MAX_REASON, ArrivedOutcome, ArrivedUpdate, Response
from cloud.state.records import ResponseRecord

Verdict = Literal["wanted", "good", "counted", "early", "late", "unwanted", "refused", "broken"]


class Judged(msgspec.Struct, frozen=True):
    """A response, and what is found of it so far.

    wanted     an update that an open round waits for; it is to be inspected
    good       an inspected update, or an outcome; it counts if it is not too late
    counted    it is on record
    early      the round that may want it has not opened: its message comes again then
    late       no round wants it any more
    unwanted   no round ever did
    refused    an update that failed its inspection
    broken     an update that could not be inspected: its message comes again

    `record` is what is to be recorded. Outcomes that no round wants are not.
    """

    response: Response
    verdict: Verdict
    record: ResponseRecord | None = None

    @property
    def thing(self) -> str:
        """Whose response it is."""
        return self.response.thing


def records_of_good(judged: Iterable[Judged]) -> dict[str, ResponseRecord]:
    """What is to be counted, by client: an update rather than an outcome."""
    good = [one.record for one in judged if one.verdict == "good" and one.record is not None]
    return {record.thing: record for record in sorted(good, key=lambda record: record.state == "accepted")}


def refused(response: Response, verdict: Literal["late", "unwanted", "refused"], reason: str) -> Judged:
    """A response that does not count, for a reason."""
    record = refusal(response, reason, time.time()) if isinstance(response, ArrivedUpdate) else None
    return Judged(response, verdict, record)


def refusal(update: ArrivedUpdate, reason: str, inspected_at: float) -> ResponseRecord:
    """What is recorded of an update that does not count."""
    return ResponseRecord(
        thing=update.thing,
        state="refused",
        arrived_at=update.arrived_at,
        inspected_at=inspected_at,
        version_id=update.version_id,
        bytes=update.size or None,
        reason=reason[:MAX_REASON],  # it may quote a name of any length that a device made up
    )


def acceptance(update: ArrivedUpdate, size: int, inspected: Inspected, inspected_at: float) -> ResponseRecord:
    """What is recorded of an update of so many bytes that has passed its inspection."""
    return ResponseRecord(
        thing=update.thing,
        state="accepted",
        arrived_at=update.arrived_at,
        inspected_at=inspected_at,
        key=update.key,
        version_id=update.version_id,
        bytes=size,
        data_start=inspected.data_start,
        norm=inspected.norm,
        integer_change=inspected.integer_change,
        report=inspected.report,
    )


def failure(outcome: ArrivedOutcome) -> ResponseRecord:
    """What is recorded of a client of which no update will come."""
    return ResponseRecord(
        thing=outcome.thing,
        state=outcome.outcome.phase,
        arrived_at=outcome.arrived_at,
        inspected_at=outcome.arrived_at,
        reason=outcome.outcome.reason,
    )
