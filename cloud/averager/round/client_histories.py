"""What a round teaches about its clients."""

from collections.abc import Iterable

from cloud.averager.round.report_claims import with_claims
from cloud.state.carry_over import busy_after
from cloud.state.clients import ClientHistory
from cloud.state.records import CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses


def histories_of(members: Iterable[CohortMember], record: RoundRecord, responses: Responses) -> list[ClientHistory]:
    """The histories of these clients of its cohort after a round, those that the round says something about.

    They are written with the step that ends the round, and those that do not fit into its transaction before it: so
    that the next selection sees them. They are absolute values: writing them again is harmless. A round that evaluates
    says nothing about how its clients train.
    """
    if record.evaluates:
        return []
    found = (history_of(member, record, responses) for member in members)
    return [history for history in found if history is not None]


def history_of(member: CohortMember, record: RoundRecord, responses: Responses) -> ClientHistory | None:
    """A client's history after a round; None if the round says nothing about it.

    One that answered: its turnarounds' moving average, t = b * t + (1 - b) * turnaround with b = selection.smoothing.
    One that had not answered when the round ended: it is at least as slow as that, so t is raised to the time it had;
    and it has missed a round, if the round had waited for it until the deadline, and the next one does not wait for it
    as well. One that failed has missed it as well; one that declined has not. A client that the next round waits for
    keeps what an earlier round said last.
    """
    assigned_at = member.assigned_at or responses.notified.get(member.thing, record.opened_at)
    for response in responses.accepted:
        if response.thing == member.thing:
            turnaround_s = last_s = max(0.0, response.arrived_at - assigned_at)
            if member.turnaround_s is not None:
                past = record.settings.selection.smoothing
                turnaround_s = past * member.turnaround_s + (1 - past) * turnaround_s
            history = ClientHistory(
                thing=member.thing,
                turnaround_s=turnaround_s,
                missed=0,
                last_round=record.round,
                norm=response.norm,
            )
            return history if response.report is None else with_claims(history, response.report, last_s)
    for response in responses.failed:
        if response.thing == member.thing:
            missed = member.missed + 1 if response.state == "failed" else member.missed
            return ClientHistory(
                thing=member.thing,
                turnaround_s=member.turnaround_s,
                missed=missed,
                last_round=record.round,
                last_reason=_reason(response),
            )
    ended_at = record.averaging_at or record.closed_at
    if ended_at is None:
        return None
    still_busy = any(busy.thing == member.thing for busy in busy_after(record, responses))
    refused = next((_reason(response) for response in responses.refused if response.thing == member.thing), None)
    until = "the deadline" if ended_at >= record.deadline else "the round ended"
    return ClientHistory(
        thing=member.thing,
        turnaround_s=max(member.turnaround_s or 0.0, ended_at - assigned_at),
        missed=member.missed + 1 if ended_at >= record.deadline and not still_busy else member.missed,
        last_round=None if still_busy else record.round,
        last_reason=None if still_busy else refused or f"no answer before {until}",
    )


def _reason(response: ResponseRecord) -> str:
    """Why no update of it counts: `declined: ...`, `failed: ...` or `refused: ...`."""
    return f"{response.state}: {response.reason}" if response.reason else response.state
