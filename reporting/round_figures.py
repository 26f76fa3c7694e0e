"""What was measured of the rounds of a run: pure functions."""

import statistics
from collections.abc import Iterable, Mapping

import msgspec

from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses
from cloud.state.spread import Spread
from protocol.messages import Numbers, Progress
from reporting.measuring import round_line
from reporting.records import STEPS


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A device without an update that counts, and why: in the words of whoever decided so."""

    thing: str
    state: str
    reason: str


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one round. If it `evaluates`, nobody trained in it. `split` is the time of each of STEPS on
    the way of the client that answered last; their sum is `round_s`, from the end of the round before to the end of
    this one. `overhead_s` is that less the longest local training. `asked` is the size of the cohort, `failing` who of
    it failed, `reason` why the round made no model; `not_finite` and `warnings` are those of the round's record.
    `metrics` are those of the global model on data that no device has, `client_metrics` those of the devices together:
    `..._before` of the global model that they got, `..._after` of their local ones, `..._average` of the global models'
    moving average; `spreads` is how these differ between devices. `spent_usd` is what the rounds have cost in AWS so
    far."""

    round: int
    status: str
    asked: int
    accepted: int
    evaluates: bool = False
    round_s: float
    overhead_s: float
    split: dict[str, float]
    metrics: Numbers
    client_metrics: dict[str, float] = {}
    spreads: dict[str, Spread] = {}
    not_finite: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    failing: list[Failing] = []
    reason: str | None = None
    spent_usd: float | None = None


def medians(rounds: Iterable[RoundFigures]) -> RoundFigures:
    """The medians over rounds 2 and later (over all if there is only one): the first one starts processes."""
    every = list(rounds)
    chosen = every[1:] or every
    return RoundFigures(
        round=len(every),
        status=every[-1].status,
        asked=every[-1].asked,
        accepted=every[-1].accepted,
        round_s=statistics.median(figures.round_s for figures in chosen),
        overhead_s=statistics.median(figures.overhead_s for figures in chosen),
        split={step: statistics.median(figures.split.get(step, 0.0) for figures in chosen) for step in STEPS},
        metrics=every[-1].metrics,
        client_metrics=every[-1].client_metrics,
    )


def figures_of(
    record: RoundRecord, responses: Responses, previous_end: float | None, heard: Mapping[str, Progress | None]
) -> RoundFigures:
    """Those of a round that has ended, `metrics` aside. `heard` is as for `failing_of`."""
    line = round_line(record, responses, previous_end)
    return RoundFigures(
        round=record.round,
        status=record.status,
        asked=line.cohort,
        accepted=record.accepted,
        evaluates=record.evaluates,
        round_s=line.round_s,
        overhead_s=line.round_s - line.training_s,
        split=line.split,
        metrics={},
        client_metrics=record.metrics or {},
        spreads=record.spreads,
        not_finite=record.not_finite,
        warnings=record.warnings,
        failing=failing_of(record, responses, heard),
        reason=record.reason,
        spent_usd=record.spent_usd,
    )


def failing_of(record: RoundRecord, responses: Responses, heard: Mapping[str, Progress | None]) -> list[Failing]:
    """In the order of the things' names. Who was still at it when enough others had answered has not failed; `heard` is
    what those who were listened to said last, None if nothing: it may have come too late for the round to know of
    it."""
    found = {thing: _vanished(thing, heard) for thing in record.vanished}
    refused = (response for response in responses.refused if not response.is_late)
    for response in (*refused, *responses.failed):
        found[response.thing] = Failing(thing=response.thing, state=response.state, reason=response.reason or "")
    for response in responses.accepted:
        found.pop(response.thing, None)
    return [found[thing] for thing in sorted(found)]


def _vanished(thing: str, heard: Mapping[str, Progress | None]) -> Failing:
    last = heard.get(thing)
    if last is not None and last.phase in ("failed", "declined"):
        return Failing(thing=thing, state=last.phase, reason=last.reason or "it gave no reason")
    reason = "no answer until the deadline"
    if thing in heard:
        reason += "; nothing was heard of it" if last is None else f"; last heard of: {last.phase}"
    return Failing(thing=thing, state="silent", reason=reason)
