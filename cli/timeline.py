"""What happened when in a round, for people to read."""

import datetime
from collections.abc import Iterator

from cli import model_warnings
from cli.screen import Screen
from cli.table import Table
from cloud.state.records import CohortMember, RoundRecord
from cloud.state.rounds import Responses

_COLUMNS = ("client", "notified", "downloaded", "trained", "uploaded", "inspected", "examples")
_LONGEST_S = 1e9


def show_timeline(screen: Screen, record: RoundRecord, responses: Responses) -> None:
    """A line on the round, a row for each client, and below the table what there is to say of some of them."""
    opened = datetime.datetime.fromtimestamp(record.opened_at, datetime.UTC)
    reason = f" {record.reason}" if record.reason else ""
    rate = "" if record.learning_rate is None else f", learning rate {record.learning_rate:g}"
    what = ", in which clients evaluate" if record.evaluates else rate
    screen.line(
        f"round {record.round} of {record.federation}: {record.status}{reason}, opened {opened:%F %T} UTC{what}"
    )
    for line in model_warnings.lines(record.not_finite, record.warnings):
        screen.line(line)
    title = "seconds after the round opened (downloaded and trained by the device's own clock)"
    screen.table(Table(title=title, columns=_COLUMNS, rows=list(_rows(record, responses))))
    for thing, remark in _remarks(record, responses):
        screen.line(f"{thing}: {remark}")


def _rows(record: RoundRecord, responses: Responses) -> Iterator[tuple[str, ...]]:
    def after(moment: float | None) -> str:
        return "" if moment is None else _seconds(moment - record.opened_at)

    accepted = {response.thing: response for response in responses.accepted}
    for member in record.cohort:
        response = accepted.get(member.thing)
        report = response.report if response else None
        yield (
            member.thing,
            after(member.assigned_at or responses.notified.get(member.thing)),
            after(report.timings.downloaded_at if report else None),
            after(report.timings.trained_at if report else None),
            after(response.arrived_at if response else None),
            after(response.inspected_at if response else None),
            str(report.examples) if report else "",
        )
    for response in responses.refused:
        yield response.thing, "", "", "", after(response.arrived_at), after(response.inspected_at), ""
    for name, moment in (("averaged", record.averaged_at), ("closed", record.closed_at)):
        yield name, "", "", "", "", after(moment), ""


def _seconds(seconds: float) -> str:
    """As people read them; but a device's clock may say anything."""
    return f"{seconds:.3f}" if abs(seconds) < _LONGEST_S else f"{seconds:.0e}"


def _remarks(record: RoundRecord, responses: Responses) -> Iterator[tuple[str, str]]:
    for member in record.cohort:
        if member.assigned_in is not None:
            yield member.thing, f"assigned in round {member.assigned_in}"
        if missing := _missing(member, record, responses):
            yield member.thing, missing
    for response in responses.refused:
        yield response.thing, f"refused: {response.reason}"


def _missing(member: CohortMember, record: RoundRecord, responses: Responses) -> str:
    """Why there is no update of a client that counts; "" if there is one."""
    if any(response.thing == member.thing for response in responses.accepted):
        return ""
    for response in responses.failed:
        if response.thing == member.thing:
            return f"{response.state}: {response.reason}"
    return "vanished" if member.thing in record.vanished else "no answer"
