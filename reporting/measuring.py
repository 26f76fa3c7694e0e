"""What is measured of a round, from its record and the responses to it: pure functions."""

import itertools
import math
from collections.abc import Iterator, Mapping

import msgspec

from cloud.initiator.round_plan import assignment_in
from cloud.state.records import CohortMember, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import Numbers, Report
from reporting.records import STEPS, ClientRow, ClientState, RoundLine


def round_line(
    record: RoundRecord, responses: Responses, previous_end: float | None, held_out: Numbers | None = None
) -> RoundLine:
    """A round that has ended. `previous_end` is when the round before did, None of the first one; `held_out` what the
    new model has on data that no client has.

    Raises:
        ValueError: the round goes on.
    """
    if record.closed_at is None or not (record.status == "closed" or record.status == "aborted"):
        raise ValueError(f"round {record.round} of {record.federation!r} is {record.status}: it has not ended")
    begun = record.opened_at if previous_end is None else previous_end
    reports = [response.report for response in responses.accepted if response.report is not None]
    asked = len(responses.notified) or sum(member.assigned_in is None for member in record.cohort)
    return RoundLine(
        round=record.round,
        status=record.status,
        reason=None if record.reason is None else encodable(record.reason),
        opened_at=record.opened_at,
        ended_at=record.closed_at,
        round_s=record.closed_at - begun,
        split=split_of(record, responses, begun),
        training_s=longest_training(responses),
        cohort=len(record.cohort),
        target=record.target,
        quorum=record.quorum,
        extended=record.extended,
        carried=len(record.carried),
        accepted=record.accepted,
        failed=record.failed,
        refused=record.refused,
        vanished=len(record.vanished),
        examples=sum(report.examples for report in reports),
        evaluates=record.evaluates,
        metrics=finite(record.metrics or {}),
        spreads=record.spreads,
        held_out=finite(held_out or {}),
        not_finite=record.not_finite,
        warnings=tuple(map(encodable, record.warnings)),
        learning_rate=rate if (rate := record.learning_rate) is not None else record.settings.training.learning_rate,
        bytes_down=asked * assignment_in(record).download_bytes,
        bytes_up=sum(response.bytes or 0 for response in (*responses.accepted, *responses.refused)),
        spent_usd=record.spent_usd,
        model_sha256=(record.model or record.base).sha256,
    )


def longest_training(responses: Responses) -> float:
    """The longest local training of an update that counts, in seconds."""
    reports = (response.report for response in responses.accepted)
    durations = (report.timings.train_s for report in reports if report is not None)
    return max(filter(math.isfinite, durations), default=0.0)


def split_of(record: RoundRecord, responses: Responses, previous_end: float) -> dict[str, float]:
    """The time of each of STEPS, from the end of the round before; {} if no update came. What a device's clock makes
    infinite is left out."""
    accepted = [response for response in responses.accepted if response.report is not None]
    if not accepted or record.averaged_at is None:
        return {}
    last = max(accepted, key=lambda response: response.arrived_at)
    inspected_at = max(response.inspected_at for response in accepted)
    decided_at = max(inspected_at, record.averaging_at or inspected_at)
    ended_at = record.averaged_at if record.closed_at is None else record.closed_at
    of_last = (*_on_device(last), last.arrived_at, inspected_at)
    moments = (previous_end, record.opened_at, *of_last, decided_at, record.averaged_at, ended_at)
    durations = zip(STEPS, _differences(*moments), strict=True)
    return {step: duration for step, duration in durations if duration is not None}


def client_rows(record: RoundRecord, responses: Responses) -> Iterator[ClientRow]:
    """A row for each client of the cohort, and for each other thing that something came from, in the order of their
    names."""
    members = {member.thing: member for member in record.cohort}
    answers = {
        response.thing: response for response in (*responses.refused, *responses.failed, *responses.accepted)
    }  # what counts is last
    vanished = set(record.vanished)
    for thing in sorted(members.keys() | answers.keys()):
        if thing in answers:
            yield _answered(record.round, answers[thing], _notified_at(members.get(thing), thing, responses))
        else:
            yield ClientRow(round=record.round, client=thing, state="vanished" if thing in vanished else "unanswered")


def _answered(number: int, response: ResponseRecord, notified_at: float | None) -> ClientRow:
    report = response.report
    turnaround_s = None if notified_at is None else _difference(notified_at, response.arrived_at)
    row = ClientRow(
        round=number,
        client=response.thing,
        state=_STATES[response.state],
        reason=response.reason,
        bytes=response.bytes,
        norm=_finite(response.norm),
        turnaround_s=turnaround_s,
        inspect_s=_difference(response.arrived_at, response.inspected_at),
    )
    if report is None:
        return row
    begun = report.timings.accepted_at if notified_at is None else notified_at
    wait_s, download_s, train_s, upload_s = _differences(begun, *_on_device(response), response.arrived_at)
    return msgspec.structs.replace(
        row,
        examples=report.examples,
        steps=report.steps,
        wait_s=None if notified_at is None else wait_s,
        download_s=download_s,
        train_s=train_s,
        upload_s=upload_s,
        train_alone_s=_finite(report.timings.train_s),
        metrics=_metrics(report),
    )


_STATES: dict[str, ClientState] = {
    "accepted": "accepted",
    "failed": "failed",
    "declined": "declined",
    "refused": "refused",
    "early": "unanswered",
}


def _metrics(report: Report) -> Numbers:
    """As those of a round are called."""
    measured = report.measured.items()
    return finite({f"{name}_{when}": value for when, values in measured for name, value in values.items()})


def _notified_at(member: CohortMember | None, thing: str, responses: Responses) -> float | None:
    if member is not None and member.assigned_at is not None:
        return member.assigned_at
    return responses.notified.get(thing)


def _on_device(response: ResponseRecord) -> tuple[float, float, float]:
    assert response.report is not None  # noqa: S101 - callers have looked
    timings = response.report.timings
    return timings.accepted_at, timings.downloaded_at, timings.trained_at


def _differences(*moments: float) -> list[float | None]:
    return [_difference(before, after) for before, after in itertools.pairwise(moments)]


def _difference(before: float, after: float) -> float | None:
    return _finite(after - before)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def finite(values: Mapping[str, float | None]) -> Numbers:
    """Numbers in the form in which JSON has them: None for one that is not finite."""
    return {name: _finite(value) for name, value in values.items()}


def encodable(text: str) -> str:
    """A text that UTF-8 can hold: halves of surrogate pairs are in it as escapes."""
    return text.encode(errors="backslashreplace").decode()
